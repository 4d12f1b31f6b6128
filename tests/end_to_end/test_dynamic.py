"""A study of emotion over time through the command line: four stages, their tables, and the same again after a kill."""

STUDY = """seeds: [7, 8]
shards: {shards}
train: {{english: 1, italian: 1}}
unheard: [german]
speakers: {{english: {{test: 1, preferences: 1}}, italian: {{test: 1, preferences: 1}}}}
tracks: {{train: 3, preferences: 3, test: 3}}
utterance:
  encoder: {{new: {{width: 16, layers: 2, attention_heads: 2, mels: 16}}, attention: clip, layers: joined, freeze: [all]}}
  cross_entropy: {{objective: {{level: clip}}, training: {{steps: 4, windows_per_step: 2, windows_per_pass: 2}}}}
  dirichlet:
    heads: {{emotion: dirichlet}}
    objective: {{level: clip, dirichlet: 0.1, label_smoothing: 0.05}}
    training: {{steps: 4, windows_per_step: 2, windows_per_pass: 2}}
teacher: {{window: 0.5, step: 0.3, temperature: 0.5}}
student:
  encoder:
    new: {{width: 16, layers: 2, attention_heads: 2, mels: 16}}
    attention: clip
    layers: joined
    freeze: [all]
    blocks: 1
    every: 2
    chunk: 1.0
  cross_entropy:
    heads: {{projection: 8, hidden: gelu}}
    training: {{steps: 6, windows_per_step: 4, windows_per_pass: 2, checkpoint_every: 3}}
  dirichlet:
    heads: {{emotion: dirichlet, projection: 8, hidden: gelu}}
    objective: {{dirichlet: 0.1, label_smoothing: 0.05}}
    training: {{steps: 6, windows_per_step: 4, windows_per_pass: 2, checkpoint_every: 3}}
pairs: {{k: 3, per_track: 2, tie_zone: 0}}
preference:
  beta: 0.5
  betas: [0.1, 0.5]
  training: {{steps: 4, windows_per_step: 2, windows_per_pass: 2}}
race: {{seconds: 5, rounds: 3}}
"""
