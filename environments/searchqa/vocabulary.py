"""The names of generated worlds: few and short, so that a small policy can learn to copy them.

Towns and countries are made up, so that a language model's own knowledge does not answer.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words("Ada Cora Dora Elsa Gail Hope Iris June Kate Lena Mona Nora Rosa Tess Vera Zoe")
MEN = _words("Abel Carl Dean Emil Finn Gus Hugo Ivan Jack Karl Leo Max Otto Paul Rolf Tom")
FAMILIES = _words("Bell Cole Dahl Fox Gray Hart Holm Kane Lund Marsh Nash Pike Reed Stone Vik Wolf")
TOWNS = _words(
    "Arlo Brim Calda Dorn Elva Fenwick Gorse Hale Ilmen Kesh Lorne Marn Orme Pell Rusk Selby "
    "Tarn Umber Wick Yarrow"
)
COUNTRIES = _words("Avaria Brenia Estia Morva Norland Sundia Toria Veldia")
JOBS = _words("baker doctor farmer judge miner nurse pilot sailor singer tailor weaver writer")
