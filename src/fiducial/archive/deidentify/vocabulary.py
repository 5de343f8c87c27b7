"""Words that a description may keep: terms of anatomy, imaging and radiotherapy, and small numbers.

A list of what is allowed, because no list of names is complete. The terms are the code meanings of the standard's own
concepts (context groups of PS3.16 as pydicom carries them: anatomic regions, tissues, modalities, sides, segments) and
the words below.
"""

from __future__ import annotations

import re
from functools import cache

OWN = """
ac adc anterior ap apical arterial axial basal bolus bone bp brain bw cavity chest cor coronal ct ctv cxr delayed
dwi early echo ed ep epi es et fat fb fdg fiesta flair flash frfse fs fse gad gd gtv hires hr in inferior iso itv iv
kernel l la lat lateral left lesion lls low lower lt lv mask medial mid mip mpr mr mri nac native nc ncct necrosis
node nodule np oar oblique out pa pd pelvis pet phase plain portal post posterior pre prone proton ptv r ra recon reg
resampled right roi rt rv sag sagittal scout se seg sense soft spgr spin spine stir supine suv t1 t1w t2 t2star t2w tb
thick thin thorax thrive tof topogram tra transverse tse tumor tumour upper vein venous vibe vol volume wb whole
window with without wo xr
"""
CONTEXTS = (2, 4, 29, 244, 245, 4009, 4030, 4031, 6116, 6117, 6149, 6300, *range(7150, 7172), 7191, 7192, 7194)
WORD = re.compile(r"[^\W_]+")
SIDES = ("l", "r")
SMALL_NUMBER = re.compile(r"\d{1,2}(mm|cm|min|s|b)?|t[12]w?|b\d{1,4}[a-z]?", flags=re.ASCII)
SEPARATORS = re.compile(r"[\s_\-+/.,()]+")


@cache
def allowed() -> frozenset[str]:
    """The words, in small letters."""
    from pydicom.sr import codedict

    words = set(OWN.split())
    for context in CONTEXTS:
        collection = getattr(codedict.codes, f"cid{context}", None)
        if collection is None:
            continue
        for code in collection.concepts.values():
            words.update(word.casefold() for word in WORD.findall(code.meaning))
    return frozenset(word for word in words if not word.isdigit() and (len(word) > 1 or word in SIDES))


def cleaned(text: str) -> str:
    """``text`` as it is if all its words are allowed, or numbers of one or two digits; else those that are, alone."""
    words = [word for word in SEPARATORS.split(text.strip(" \0")) if word]
    kept = [word for word in words if word.casefold() in allowed() or SMALL_NUMBER.fullmatch(word.casefold())]
    return text.strip(" \0") if kept == words else " ".join(kept)
