"""Passwords, sessions and invitations in the data layer: whoever it is not for changes nothing."""

from datetime import timedelta

import pytest

from bise.errors import InputError, NotFoundError
from bise.store.accounts import create_link, create_user, disable_user, spend_link, start_session, user_of_session
from bise.store.administration import change_person, list_people
from bise.store.audit import COMMAND_LINE, ActingAdmin, RoleError, list_audit, note
from bise.store.database import Database
from bise.store.limits import list_limits, set_limits
from bise.store.passwords import check_password, has_password, password_of, rehash, set_password
from bise.store.sessions import RENEW_AFTER, end_own_session, end_session, list_sessions, renew_session
from bise.store.signing_up import create_invitation, list_invitations, sign_up, withdraw_invitation
from bise.store.tables import now, sessions
from bise.store.usage import Counts, UsageKey, add_usage, report


async def test_a_password_belongs_to_its_user_while_they_may_come_in(database: Database) -> None:
    ada = await create_user(database, "ada")
    assert (await password_of(database, "ada"), await has_password(database, ada.id)) == (None, False)
    session, link = await start_session(database, ada), await create_link(database, "ada")
    await set_password(database, "ada", "first", "a test")
    assert (await password_of(database, "ada"), await has_password(database, ada.id)) == ((ada, "first"), True)
    assert await user_of_session(database, session) is None
    assert await spend_link(database, link) is None
    await rehash(database, ada, "first", "second")
    await rehash(database, ada, "first", "third")  # was changed meanwhile
    assert await password_of(database, "ada") == (ada, "second")
    for name in ("Ada", "ada\0", "bob", "", "%"):
        assert await password_of(database, name) is None
    await disable_user(database, "ada", True)
    assert await password_of(database, "ada") is None
    with pytest.raises(NotFoundError, match="The users are: ada"):
        await set_password(database, "bob", "x", "a test")


@pytest.mark.parametrize("password", ["short", "x" * 1001, "abababababababab", "ada lovelace 1815"])
def test_what_is_no_password_is_refused(password: str) -> None:
    with pytest.raises(InputError, match=r"must have 12 to 1000|easy to guess"):
        check_password("Ada Lovelace 1815", password)


async def test_sessions_are_their_owner_s(database: Database) -> None:
    ada, bob = await create_user(database, "ada"), await create_user(database, "bob")
    tokens = [await start_session(database, ada, "Firefox\n\u202e" + "x" * 500), await start_session(database, ada)]
    theirs = await start_session(database, bob)
    listed = await list_sessions(database, ada.id, tokens[0])
    assert {session.is_current for session in listed} == {True, False}
    current = next(session for session in listed if session.is_current)
    assert current.agent == ("Firefox" + "x" * 500)[:200]
    with pytest.raises(NotFoundError):
        await end_session(database, bob.id, current.id)
    with pytest.raises(NotFoundError):
        await end_session(database, bob.id, "")
    await end_session(database, ada.id, current.id)
    assert await user_of_session(database, tokens[0]) is None
    await end_own_session(database, tokens[1])
    assert await list_sessions(database, ada.id, "") == ()
    assert await user_of_session(database, theirs) == bob


async def test_a_session_renews_its_secret_with_age_and_keeps_its_name(database: Database) -> None:
    ada = await create_user(database, "ada")
    token = await start_session(database, ada)
    (before,) = await list_sessions(database, ada.id, token)
    assert await renew_session(database, token) is None
    async with database.write() as connection:
        await connection.execute(sessions.update().values(renewed_at=now() - RENEW_AFTER - timedelta(seconds=1)))
    fresh = await renew_session(database, token)
    assert fresh is not None
    assert await renew_session(database, token) is None
    assert await user_of_session(database, token) == await user_of_session(database, fresh) == ada
    (after,) = await list_sessions(database, ada.id, fresh)
    assert (after.id, after.created_at) == (before.id, before.created_at)
    async with database.write() as connection:
        await connection.execute(sessions.update().values(renewed_at=now() - timedelta(seconds=61)))
    assert await user_of_session(database, token) is None
    assert await user_of_session(database, fresh) == ada


async def test_invitations_are_made_and_withdrawn_by_admins(database: Database) -> None:
    root, ada = await create_user(database, "root", "admin"), await create_user(database, "ada")
    invitation, token = await create_invitation(database, ActingAdmin(root.id), uses=3)
    assert await list_invitations(database, ActingAdmin(root.id)) == (invitation,)
    gone = await create_user(database, "gone", "admin")
    await disable_user(database, "gone", True)
    for other in (ActingAdmin(ada.id), ActingAdmin(gone.id), ActingAdmin("")):
        for forbidden in (
            create_invitation(database, other),
            list_invitations(database, other),
            withdraw_invitation(database, other, invitation.id),
        ):
            with pytest.raises(RoleError):
                await forbidden
    await sign_up(database, "bob", "hash", token)
    assert [each.uses_left for each in await list_invitations(database)] == [2]
    await withdraw_invitation(database, COMMAND_LINE, invitation.id)
    with pytest.raises(InputError, match="withdrawn"):
        await sign_up(database, "zoe", "hash", token)
    with pytest.raises(NotFoundError):
        await withdraw_invitation(database, COMMAND_LINE, invitation.id)
    for days, uses in ((0, 1), (91, 1), (1, 0), (1, 1001)):
        with pytest.raises(InputError, match="1 to 90 days"):
            await create_invitation(database, days=days, uses=uses)


async def test_only_admins_administer_whatever_their_session_said(database: Database) -> None:
    root, ada = await create_user(database, "root", "admin"), await create_user(database, "ada")
    for other in (ActingAdmin(ada.id), ActingAdmin("")):
        for forbidden in (
            list_people(database, other),
            change_person(database, other, ada.id, role="admin"),
            change_person(database, other, root.id, is_disabled=True),
            change_person(database, other, ada.id),
            list_audit(database, 9, "", other),
            note(database, other, "model.pull", "model x"),
            set_limits(database, "everybody", {"parallel": 1}, other),
            create_link(database, "root", other),
            create_user(database, "eve", "admin", other),
            report(database, ("user",), actor=other),
            list_limits(database, other),
        ):
            with pytest.raises(RoleError):
                await forbidden
    assert [(each.user.name, each.user.role) for each in await list_people(database, ActingAdmin(root.id))] == [
        ("ada", "user"),
        ("root", "admin"),
    ]
    assert await list_limits(database) == ()
    assert [entry.action for entry in await list_audit(database, 9)] == ["user.add", "user.add"]


async def test_somebody_always_answers_for_the_server(database: Database) -> None:
    root, ada = await create_user(database, "root", "admin"), await create_user(database, "ada")
    acting = ActingAdmin(root.id)
    for change in ({"role": "user"}, {"is_disabled": True}):
        with pytest.raises(InputError, match="the only admin"):
            await change_person(database, acting, root.id, **change)
    await change_person(database, acting, ada.id, role="admin", is_disabled=True)
    with pytest.raises(InputError, match="the only admin"):
        await change_person(database, acting, root.id, role="user")
    await change_person(database, acting, ada.id, is_disabled=False)
    await change_person(database, acting, root.id, role="user")
    with pytest.raises(RoleError):
        await change_person(database, acting, root.id, role="admin")
    with pytest.raises(NotFoundError):
        await change_person(database, ActingAdmin(ada.id), "nobody", role="admin")
    entries = await list_audit(database, 9, "USER.role")
    assert [(entry.actor, entry.subject) for entry in entries] == [("root", "user ada"), ("root", "user root")]
    assert await list_audit(database, 9, "%") == ()


async def test_admins_see_counts_and_when_somebody_came_last(database: Database) -> None:
    ada = await create_user(database, "ada")
    today, before = now().date(), now().date().replace(day=1) - timedelta(days=1)
    await add_usage(database, [(UsageKey(today, ada.id, "", "", "m"), Counts(1, 2, 3))])
    await add_usage(database, [(UsageKey(today, ada.id, "", "k", "m"), Counts(1, 20, 30))])
    await add_usage(database, [(UsageKey(before, ada.id, "", "", "m"), Counts(9, 900, 900))])
    (person,) = await list_people(database, COMMAND_LINE)
    assert (person.num_requests, person.num_tokens, person.seen_at) == (2, 55, None)
    await start_session(database, ada)
    (person,) = await list_people(database, COMMAND_LINE)
    assert person.seen_at is not None
