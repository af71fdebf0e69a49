"""Who somebody is, once a password or token has shown it, and whether that still holds."""

from __future__ import annotations

import base64

from holdall.record import record
from holdall.registry.server import robots
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.passwords import Passwords
    from holdall.registry.server.robots import Robot, Robots
    from holdall.registry.server.rules import Rules
    from holdall.registry.server.tokens import Claims

MAX_HEADER = 4_096


@record
class Identity:
    """A user ("" for nobody in particular); for a user of the password file `mark` changes with the password."""

    user: str = ""
    robot: Robot | None = None
    mark: str = ""


NOBODY = Identity()


class People:
    """Everybody a registry knows, and what its rules let them do."""

    def __init__(self, rules: Rules, passwords: Passwords, known: Robots) -> None:
        self.rules = rules
        self.passwords = passwords
        self.robots = known

    def quick(self, user: str, password: str, now: float) -> Identity | None:
        """Whose password this is, as far as that can be said without work: robots, and who was here before."""
        if robots.is_secret(password):
            robot = self.robots.login(user, password, now)
            if robot is not None:
                return Identity(robot.user, robot)
        return self._user(user) if self.passwords.remembered(user, password) else None

    def slow(self, user: str, password: str) -> Identity | None:
        """Whose password this is, with the work that the hash asks for."""
        return self._user(user) if self.passwords.check(user, password) else None

    def of(self, claims: Claims, now: float) -> Identity | None:
        """Whose token of ours this is; None when the password is another one by now, or the robot token is gone."""
        if claims.robot:
            robot = self.robots.get(claims.robot, now)
            return None if robot is None else Identity(robot.user, robot)
        if not claims.user:
            return NOBODY
        found = self._user(claims.user)
        return found if found.mark and found.mark == claims.mark else None

    def may(self, identity: Identity, action: str, repository: str) -> bool:
        """Whether somebody may do this. A robot has its own rights and everybody's."""
        robot = identity.robot
        if robot is None:
            return self.rules.allow(identity.user, action, repository)
        return robot.may(action, repository) or self.rules.allow("", action, repository)

    def _user(self, user: str) -> Identity:
        return Identity(user, None, self.passwords.mark(user))


def basic(text: str) -> tuple[str, str]:
    """User and password of what follows "Basic" (RFC 7617). Raises Refusal (401) without a challenge."""
    if len(text) > MAX_HEADER:
        raise Refusal("UNAUTHORIZED", "malformed credentials")
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except ValueError as err:
        raise Refusal("UNAUTHORIZED", "malformed credentials") from err
    return user, password
