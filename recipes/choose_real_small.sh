#!/usr/bin/env bash
# How the settings of real_small.yaml were chosen: each of its four training corpora is held out in turn, and the German
# one is never touched. Prints a Markdown table; takes minutes once the frozen encoder's answers are in the cache.
#   recipes/choose_real_small.sh SHARDS OUT > recipes/results/real_small_choice.md
set -euo pipefail
shards=$1 out=$2
declare -A weight=([ravdess]=1 [emovo]=2 [casia]=1 [turev]=1)
declare -A variant=(
  [as_shipped]=""
  [seed_8]="seed=8"
  [one_level]="augment={}"
  [no_label_smoothing]="objective.label_smoothing=0"
  [last_layer]="encoder.layers=last"
  [prior_adjusted]="evaluation.prior=train"
  [fewer_steps]="training.steps=150"
)
order=(as_shipped seed_8 one_level no_label_smoothing last_layer prior_adjusted fewer_steps)
echo "| variant | ravdess (en) | emovo (it) | casia (zh) | turev (tr) | mean |"
echo "|---|--:|--:|--:|--:|--:|"
for name in "${order[@]}"; do
  results=()
  for held in ravdess emovo casia turev; do
    train=""
    for corpus in ravdess emovo casia turev; do
      [[ $corpus == "$held" ]] && continue
      train+="$corpus: ${weight[$corpus]}, "
    done
    settings=("data.shards=$shards" "data.train={${train%, }}" "data.zero_shot=[$held]")
    read -ra more <<< "${variant[$name]:-seed=7}"
    run=$out/$name-$held
    valenza train recipes/real_small.yaml "${settings[@]}" "${more[@]}" --out "$run" >&2
    valenza evaluate "$run" --json > "$run.json"
    results+=("$run.json")
  done
  python - "$name" "${results[@]}" <<'PYTHON'
import json, sys
name, *files = sys.argv[1:]
cells, means = [], []
for file in files:
    (corpus,) = json.load(open(file))["corpora"].values()
    micro, macro = (100 * corpus["metrics"][m] for m in ("micro_f1", "macro_f1"))
    probe = 100 * corpus["baselines"]["frozen_probe"]["micro_f1"]
    cells.append(f"{micro:.1f} / {macro:.1f} ({probe:.1f})")
    means.append((micro + macro) / 2)
print(f"| {name.replace('_', ' ')} | {' | '.join(cells)} | {sum(means) / len(means):.1f} |", flush=True)
PYTHON
done
echo
echo "Micro-F1 / macro-F1 (frozen probe's micro-F1) on the corpus held out; the mean is over both and all four."
