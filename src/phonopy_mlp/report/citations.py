"""What a run stands on, to be cited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from phonopy_mlp.report.folder import FinishedRun


@dataclass(frozen=True, slots=True)
class Citation:
    """An article or a piece of software.

    Attributes
    ----------
    key : str
        BibTeX's.
    what : str
        What was used of it, in a few words.
    fields : mapping
        BibTeX's, with accents in TeX.

    """

    key: str
    what: str
    fields: Mapping[str, str]

    @property
    def doi(self) -> str:
        """Digital object identifier."""
        return self.fields["doi"]

    @property
    def text(self) -> str:
        """In a line."""
        fields = self.fields
        pages = fields["pages"].replace("--", "–")
        return f"{self.what}: {fields['journal']} {fields['volume']}, {pages} ({fields['year']})"

    def bibtex(self) -> str:
        """Return the entry for a ``.bib`` file."""
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in self.fields.items())
        return f"@article{{{self.key},\n{lines}}}"


def _article(
    key: str, what: str, author: str, title: str, journal: str, volume: str, pages: str, year: str, doi: str
) -> Citation:
    fields = {"author": author, "title": title, "journal": journal, "volume": volume, "pages": pages, "year": year}
    return Citation(key, what, {**fields, "doi": doi})


_METHOD = _article(
    "elena2025",
    "The workflow, and MACE-MP-MOF0",
    "Elena, A. M. and Kamath, P. D. and {Jaffrelot Inizan}, T. and others",
    "Machine learned potential for high-throughput phonon calculations of metal-organic frameworks",
    "npj Comput. Mater.",
    "11",
    "125",
    "2025",
    "10.1038/s41524-025-01611-8",
)
_PHONOPY = _article(
    "togo2023implementation",
    "phonopy",
    "Togo, Atsushi and Chaput, Laurent and Tadano, Terumasa and Tanaka, Isao",
    "Implementation strategies in phonopy and phono3py",
    "J. Phys. Condens. Matter",
    "35",
    "353001",
    "2023",
    "10.1088/1361-648X/acd831",
)
_PHONOPY_FIRST = _article(
    "togo2023first",
    "phonopy",
    "Togo, Atsushi",
    "First-principles phonon calculations with phonopy and phono3py",
    "J. Phys. Soc. Jpn.",
    "92",
    "012001",
    "2023",
    "10.7566/JPSJ.92.012001",
)
_ASE = _article(
    "larsen2017",
    "ASE",
    "Larsen, Ask Hjorth and Mortensen, Jens J{\\o}rgen and Blomqvist, Jakob and others",
    "The atomic simulation environment: a {Python} library for working with atoms",
    "J. Phys. Condens. Matter",
    "29",
    "273002",
    "2017",
    "10.1088/1361-648X/aa680e",
)
_SPGLIB = _article(
    "togo2024",
    "Symmetry (spglib)",
    "Togo, Atsushi and Shinohara, Kohei and Tanaka, Isao",
    "Spglib: a software library for crystal symmetry search",
    "Sci. Technol. Adv. Mater. Methods",
    "4",
    "2384822",
    "2024",
    "10.1080/27660400.2024.2384822",
)
_SEEKPATH = _article(
    "hinuma2017",
    "Path of the bands (seekpath)",
    "Hinuma, Yoyo and Pizzi, Giovanni and Kumagai, Yu and Oba, Fumiyasu and Tanaka, Isao",
    "Band structure diagram paths based on crystallography",
    "Comput. Mater. Sci.",
    "128",
    "140--184",
    "2017",
    "10.1016/j.commatsci.2016.10.015",
)
_BORN = _article(
    "mouhat2014",
    "Elastic stability",
    "Mouhat, F{\\'e}lix and Coudert, Fran{\\c{c}}ois-Xavier",
    "Necessary and sufficient elastic stability conditions in various crystal systems",
    "Phys. Rev. B",
    "90",
    "224104",
    "2014",
    "10.1103/PhysRevB.90.224104",
)
_SSCHA = _article(
    "errea2014",
    "Self-consistent phonons",
    "Errea, Ion and Calandra, Matteo and Mauri, Francesco",
    "Anharmonic free energies and phonon dispersions from the stochastic self-consistent harmonic approximation: "
    "Application to platinum and palladium hydrides",
    "Phys. Rev. B",
    "89",
    "064302",
    "2014",
    "10.1103/PhysRevB.89.064302",
)


def cited(run: FinishedRun) -> list[Citation]:
    """Return what a run used, apart from its model, whose citation its record has."""
    found = [_METHOD, _PHONOPY, _PHONOPY_FIRST, _ASE, _SPGLIB]
    if run.harmonic is not None:
        found.append(_SEEKPATH)
    if run.did("elastic"):
        found.append(_BORN)
    if run.did("sscha"):
        found.append(_SSCHA)
    return found
