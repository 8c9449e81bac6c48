"""/api/v1/admin/users, /api/v1/tokens and /api/v1/sign-in: who may come in, and by what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field, SecretStr

from api.office import Address, Admin, Here, Office, Operator, Viewer
from api.problems import Refused
from api.repeats import tells_a_secret
from api.shapes import Paged, Rows, Sent, shape_of
from api.throttle import TooManyTries
from warehouse import people, tokens, usage
from warehouse.people import Person
from warehouse.records import ApiToken, Role, User

router = APIRouter(prefix="/api/v1", tags=["people"])

UserShape = shape_of(User, without=("password_hash", "session_epoch"))
TokenShape = shape_of(ApiToken, without=("secret_hash",))

TOKEN_DAYS_MAX = 3650
SIGN_IN_VALIDITY = timedelta(hours=12)
LABEL_LENGTH_MAX = 100


class NewUser(Sent):
    """A user to be."""

    user_name: str
    """The name: 1 to 64 letters, digits, dots, dashes, underscores or @."""
    role: Role
    """What it may do."""
    password: SecretStr | None = None
    """At least 12 characters; without one it can only be used through tokens."""


class UserChange(Sent):
    """What is to change of a user; what is left out stays."""

    role: Role | None = None
    """What it may do."""
    is_active: bool | None = None
    """False switches it off: its sessions end and its tokens are refused."""
    password: SecretStr | None = None
    """A new password; its sessions end."""


class NewToken(Sent):
    """A token to be."""

    label: str = Field(min_length=1, max_length=LABEL_LENGTH_MAX)
    """What for."""
    role: Role = "viewer"
    """What it may do, at most its owner's role."""
    user_name: str | None = None
    """Whose it is; yours where left out. Others' need an admin."""
    expires_in_days: int | None = Field(90, ge=1, le=TOKEN_DAYS_MAX)
    """How long it holds; null: until it is revoked."""


class IssuedToken(TokenShape):  # type: ignore[misc, valid-type]
    """A token as it is told to its owner, this once."""

    token: str
    """To be sent as `Authorization: Bearer …`. It can't be shown again."""


class Credentials(Sent):
    """A name and its password."""

    user_name: str
    """The name."""
    password: SecretStr
    """The password."""


@router.post("/sign-in", response_model=IssuedToken, status_code=201)
def sign_in(here: Here, address: Address, sent: Credentials) -> dict[str, Any]:
    """A token for a name and a password, good for 12 hours, with all that the user may do."""
    user = password_is_right(here, sent.user_name, sent.password.get_secret_value(), address)
    if user is None:
        raise Refused(401, "wrong password", "this name and password don't belong together")
    issued = tokens.issue_token(
        here.store,
        user.user_name,
        user.role,
        "sign-in by password",
        now=here.wall.now(),
        validity=SIGN_IN_VALIDITY,
    )
    here.register.forget()
    here.note(user.user_name, "token.create", issued.record.token_id, via="api", address=address)
    usage.note("sign_in", "/api/v1/sign-in", user_id=user.user_name, tenant=user.tenant)
    return _told(issued)


@router.get("/me")
def me(person: Viewer) -> dict[str, str]:
    """Who asks, and what they may do."""
    return {"user_name": person.name, "role": person.role, "via": person.via}


@router.get("/admin/users", response_model=Rows[UserShape])  # type: ignore[valid-type]
def users(here: Here, person: Admin, paged: Paged) -> dict[str, Any]:
    """Everybody, those switched off included."""
    return paged.rows_of_records(people.users(here.store), UserShape)


@router.post("/admin/users", response_model=UserShape, status_code=201)
def create_user(here: Here, person: Admin, address: Address, sent: NewUser) -> Any:
    """Make a user."""
    made = people.create_user(
        here.store,
        here.passwords,
        sent.user_name,
        sent.role,
        now=here.wall.now(),
        password=sent.password.get_secret_value() if sent.password else None,
    )
    _done(here, person, address, "user.create", made.user_name, role=made.role)
    return _shown(made)


@router.patch("/admin/users/{user_name}", response_model=UserShape)
def change_user(
    here: Here, person: Admin, address: Address, user_name: str, sent: UserChange
) -> Any:
    """Change a user's role or password, or switch it off or on."""
    with here.store.transaction():
        changed = _change(here, user_name, sent)
    _done(here, person, address, "user.change", user_name, **_particulars(sent))
    return _shown(changed)


@router.post("/admin/users/{user_name}/end-sessions", response_model=UserShape)
def end_sessions(here: Here, person: Admin, address: Address, user_name: str) -> Any:
    """Sign a user out everywhere; its tokens stay."""
    changed = people.end_sessions(here.store, user_name, now=here.wall.now())
    _done(here, person, address, "user.end_sessions", user_name)
    return _shown(changed)


@router.get("/tokens", response_model=Rows[TokenShape])  # type: ignore[valid-type]
def list_tokens(here: Here, person: Viewer, paged: Paged) -> dict[str, Any]:
    """Your tokens; to an admin everybody's. The newest first."""
    found = tokens.tokens(here.store)
    mine = [each for each in found if person.may("admin") or each.user_name == person.name]
    return paged.rows_of_records(mine, TokenShape)


@router.post(
    "/tokens",
    response_model=IssuedToken,
    status_code=201,
    dependencies=[Depends(tells_a_secret)],
)
def create_token(here: Here, person: Operator, address: Address, sent: NewToken) -> dict[str, Any]:
    """Make an API token; it is shown this once."""
    owner = sent.user_name or person.name
    if owner != person.name and not person.may("admin"):
        raise Refused(403, "not allowed", "a token of somebody else's needs the role admin")
    if not person.may(sent.role):
        raise tokens.TooMuch(f"you are {person.role} here: you can't make a token of {sent.role}")
    days = sent.expires_in_days
    issued = tokens.issue_token(
        here.store,
        owner,
        sent.role,
        sent.label,
        now=here.wall.now(),
        validity=None if days is None else timedelta(days=days),
    )
    _done(here, person, address, "token.create", issued.record.token_id, label=sent.label)
    return _told(issued)


@router.delete("/tokens/{token_id}", response_model=TokenShape)
def revoke_token(here: Here, person: Operator, address: Address, token_id: str) -> Any:
    """Make a token useless, at once."""
    found = tokens.token(here.store, token_id)
    if found.user_name != person.name and not person.may("admin"):
        raise tokens.NoSuchToken(f"you have no token {token_id}: read the list again")
    revoked = tokens.revoke_token(here.store, token_id, now=here.wall.now())
    _done(here, person, address, "token.revoke", token_id, label=revoked.label)
    return _shown(revoked)


def password_is_right(
    here: Office, user_name: str, password: str, address: str | None
) -> User | None:
    """Who this is, or None; each try counts, and each failure is on record.

    Raises:
        Refused: too many tries (429).
    """
    try:
        here.throttle.begin(user_name, address)
    except TooManyTries as error:
        wait = {"Retry-After": str(error.wait_seconds)}
        raise Refused(429, "too many tries", str(error), wait) from error
    user = people.authenticate(here.store, here.passwords, user_name, password, now=here.wall.now())
    if user is None:
        # What was typed as a name may be a password: of unknown names only the length is kept.
        known = user_name in {each.user_name for each in people.users(here.store)}
        target = user_name if known else f"unknown name of {len(user_name)} characters"
        here.note("nobody", "session.refuse", target, via="browser", address=address)
        return None
    here.throttle.succeeded(user_name, address)
    return user


def _change(here: Office, user_name: str, sent: UserChange) -> User:
    now = here.wall.now()
    changed = people.user(here.store, user_name)
    if sent.password is not None:
        secret = sent.password.get_secret_value()
        changed = people.set_password(here.store, here.passwords, user_name, secret, now=now)
    if sent.role is not None:
        changed = people.set_role(here.store, user_name, sent.role, now=now)
    if sent.is_active is not None:
        switch = people.activate if sent.is_active else people.deactivate
        changed = switch(here.store, user_name, now=now)
    return changed


def _particulars(sent: UserChange) -> dict[str, Any]:
    found = sent.model_dump(exclude_none=True, exclude={"password"})
    return {**found, "password": "changed"} if sent.password else found


def _done(
    here: Office, person: Person, address: str | None, act: str, target: str, **detail: Any
) -> None:
    here.register.forget()
    here.note(person.name, act, target, via=person.via, address=address, **detail)


def _told(issued: tokens.NewToken) -> dict[str, Any]:
    return {**_shown(issued.record), "token": issued.token}


def _shown(record: User | ApiToken) -> dict[str, Any]:
    shape = UserShape if isinstance(record, User) else TokenShape
    return {name: getattr(record, name) for name in shape.model_fields}
