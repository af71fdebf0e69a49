"""Identifiers and the names of containers nobody named."""

from __future__ import annotations

import os
import re

from holdall.errors import InvalidOption

FIRST = (
    "amber brave brisk calm clever copper coral crisp daring deft eager early fair fleet fond gentle glad golden "
    "hardy hazel honest ivory jolly keen kind lively loyal lucid lunar mellow merry misty modest neat nimble noble "
    "olive patient plucky polite proud quick quiet ready rustic sandy sharp silver simple sleek smart snug solar "
    "spry steady sunny swift tidy tranquil trusty upbeat velvet vivid warm wise witty zesty"
).split()
SECOND = (
    "anchor backpack barge basket beacon bicycle bridge buggy cabin canoe canvas caravan cargo carrier cart case "
    "chest clasp compass crate dinghy dory ferry glider hamper harbour haversack holdall junction kayak keel kitbag "
    "ladder lantern locker mast meadow oar panier parcel pier pouch quay raft rail ridge river rucksack runway "
    "sail satchel schooner shuttle sledge station strap suitcase tote tram trolley trunk tugboat valise viaduct wagon "
    "wharf yacht"
).split()

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
MAX_NAME = 255


def new_id() -> str:
    """64 random hex digits."""
    return os.urandom(32).hex()


def short(identifier: str) -> str:
    """The first 12 digits of an ID, without its algorithm."""
    return identifier.removeprefix("sha256:")[:12]


def random_name() -> str:
    """A name such as "swift_satchel"; a caller that finds it taken asks again."""
    a, b, c = os.urandom(3)
    return f"{FIRST[(a * 256 + c) % len(FIRST)]}_{SECOND[(b * 256 + c) % len(SECOND)]}"


def check_name(name: str) -> str:
    """Return a container name without Docker's leading slash. Raises InvalidOption."""
    bare = name.removeprefix("/")
    if not NAME.match(bare) or len(bare) > MAX_NAME:
        raise InvalidOption(
            f'invalid container name "{name}"', hint="names have letters, digits, dots, dashes and underscores"
        )
    return bare
