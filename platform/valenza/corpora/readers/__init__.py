"""Tables in formats of their own: what one corpus alone writes, as rows that join like those of a CSV.

A reader is a function `(source: Source) -> Iterator[Row]` in a module of this folder, listed in `READERS` and in
`card.Format`. It yields cells of text under column names that its docstring lists, all of them in every row. A line
that it cannot read becomes `Row(line, fault="…")`, with the key among its cells where that much is known. A file that
is not what it should be raises `DataError` naming `source.name` and the line. Readers import `corpora.rows`, never
`corpora.tables`, and never build clips: `key`, `match`, `columns`, `votes` and `where` of the manifest do the rest.
"""

from collections.abc import Callable, Iterator, Mapping

from valenza.corpora.card import Format
from valenza.corpora.readers import (
    crema_d,
    dusha,
    erkennung,
    esd,
    iemocap,
    lines,
    mosei,
    msp,
    ogvc,
    pavoque,
    studies,
    thai_ser,
    vesus,
)
from valenza.corpora.rows import Row, Source

READERS: Mapping[Format, Callable[[Source], Iterator[Row]]] = {
    "crema_d": crema_d.rows,
    "dusha": dusha.rows,
    "erkennung": erkennung.rows,
    "esd": esd.rows,
    "iemocap": iemocap.rows,
    "iemocap_text": lines.turns,
    "mosei": mosei.rows,
    "mosei_folds": mosei.folds,
    "msp": msp.rows,
    "ogvc": ogvc.rows,
    "pavoque": pavoque.rows,
    "studies": studies.rows,
    "text_files": lines.whole,
    "thai_ser": thai_ser.rows,
    "vesus": vesus.rows,
}
