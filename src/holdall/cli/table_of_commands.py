"""Names of commands: the module each one lives in, Docker's aliases and management groups."""

from __future__ import annotations

# command (= module in cli/commands): one line of help
COMMANDS: dict[str, str] = {
    "attach": "connect this terminal to a running container",
    "bake": "build several images as a file describes them",
    "build": "make an image as a Dockerfile says",
    "builder_du": "list what the build cache holds",
    "builder_history": "list the builds there were, or the steps of one",
    "builder_logs": "show what the steps of a build printed",
    "builder_prune": "forget layers that only the build cache keeps",
    "builder_shell": "open a shell in the files of a step of a build",
    "commit": "make an image from a container's changes",
    "cp": "copy files between a container and this machine",
    "create": "make a container without starting it",
    "diff": "list what a container changed in its file system",
    "doctor": "say what this machine allows and how to mend what it lacks",
    "exec": "run another command in a running container",
    "export": "write a container's file system as a tar",
    "history": "show how an image came about",
    "images": "list images",
    "import": "make an image from a root file system's tar",
    "info": "show facts about the store and this machine",
    "image_inspect": "show everything about images as JSON, or their layers",
    "inspect": "show everything about containers, images, volumes and networks as JSON",
    "kill": "send a signal to containers",
    "load": "read images from an archive",
    "login": "store credentials for a registry",
    "logout": "forget a registry's credentials",
    "logs": "show what a container printed",
    "network_inspect": "show networks as JSON",
    "network_ls": "list networks",
    "pack": "make an image from programs of this machine",
    "pause": "freeze all processes of containers",
    "port": "list a container's published ports",
    "prune": "remove stopped containers",
    "image_prune": "remove images nothing uses",
    "ps": "list containers",
    "pull": "fetch an image from a registry",
    "push": "send an image to a registry",
    "registry_copy": "copy an image between registries, layouts and archives",
    "registry_delete": "delete tags and manifests at a registry",
    "registry_fsck": "check a registry's storage, and mend it",
    "registry_gc": "remove what nothing needs from a registry's storage",
    "registry_inspect": "show an image at a registry or in a file, without fetching it",
    "registry_serve": "serve images to this machine or to others",
    "registry_sync": "copy many images: repositories, globs, a list",
    "registry_tags": "list the tags of a repository at a registry",
    "registry_token_create": "make a robot token for a registry",
    "registry_token_list": "list a registry's robot tokens",
    "registry_token_revoke": "make robot tokens worthless",
    "registry_token_rotate": "make a new key to sign tokens with",
    "rename": "give a container another name",
    "restart": "stop and start containers",
    "rm": "remove containers",
    "rmi": "remove images",
    "run": "make a container and start it",
    "save": "write images to an archive",
    "start": "start containers",
    "stats": "show what running containers use",
    "stop": "stop containers",
    "system_df": "show what the store takes on disk",
    "system_fsck": "check everything in the store, and mend it",
    "system_gc": "remove what nothing refers to",
    "system_prune": "remove everything nothing uses",
    "system_reset": "take everything of this store off the machine",
    "tag": "give an image another name",
    "top": "list a container's processes",
    "unpause": "thaw containers",
    "update": "change limits of containers",
    "version": "show versions",
    "volume_create": "make a volume",
    "volume_inspect": "show volumes as JSON",
    "volume_ls": "list volumes",
    "volume_prune": "remove volumes nothing uses",
    "volume_rm": "remove volumes",
    "wait": "wait until containers exit and print their exit codes",
}

ALIASES: dict[str, str] = {
    "list": "ps", "remove": "rm", "df": "system_df", "fsck": "system_fsck", "gc": "system_gc",
}  # fmt: skip

CONTAINER = (
    "attach commit cp create diff exec export inspect kill logs pause port prune rename restart rm run start "
    "stats stop top unpause update wait"
)
IMAGE = "build history import load pull push save tag"

# management command: {verb: module}
GROUPS: dict[str, dict[str, str]] = {
    "container": {**{n: n for n in CONTAINER.split()}, "ls": "ps", "list": "ps", "ps": "ps"},
    "image": {
        **{n: n for n in IMAGE.split()}, "ls": "images", "list": "images", "rm": "rmi", "prune": "image_prune",
        "inspect": "image_inspect",
    },
    "builder": {
        "bake": "bake", "build": "build", "du": "builder_du", "history": "builder_history", "ls": "builder_history",
        "logs": "builder_logs", "prune": "builder_prune", "shell": "builder_shell"},
    "network": {"ls": "network_ls", "list": "network_ls", "inspect": "network_inspect"},
    "registry": {
        n: f"registry_{n}" for n in ("copy", "delete", "fsck", "gc", "inspect", "serve", "sync", "tags")
    },
    "registry token": {n: f"registry_token_{n}" for n in ("create", "list", "revoke", "rotate")},
    "system": {
        "df": "system_df", "fsck": "system_fsck", "gc": "system_gc", "prune": "system_prune", "info": "info",
        "reset": "system_reset",
    },
    "volume": {n: f"volume_{n}" for n in ("create", "inspect", "ls", "prune", "rm")},
}  # fmt: skip
