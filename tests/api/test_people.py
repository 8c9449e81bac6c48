"""Users and tokens by the API, and who may make whom."""

from __future__ import annotations

from tests.api.conftest import PASSWORD, Console, sign_in
from warehouse.audit import audit


def test_an_admin_makes_a_user_who_signs_in(console: Console) -> None:
    admin = console.program("admin")
    sent = {"user_name": "ann", "role": "operator", "password": PASSWORD}
    made = admin.post("/api/v1/admin/users", json=sent)
    assert made.status_code == 201
    assert made.json()["role"] == "operator"
    assert "password_hash" not in made.json()
    assert sign_in(console.visitor(), "ann").status_code == 303
    listed = admin.get("/api/v1/admin/users").json()
    assert [each["user_name"] for each in listed["items"]] == ["ann", "root", "the-admin"]
    again = admin.post("/api/v1/admin/users", json=sent | {"user_name": "ANN"})
    assert again.status_code == 409
    weak = admin.post("/api/v1/admin/users", json=sent | {"user_name": "bob", "password": "x"})
    assert weak.status_code == 422
    assert "12 characters" in weak.json()["detail"]
    odd = admin.post("/api/v1/admin/users", json=sent | {"user_name": "b b"})
    assert odd.status_code == 422


def test_a_change_of_several_things_happens_whole_or_not_at_all(console: Console) -> None:
    admin = console.program("admin", "root")
    refused = admin.patch(
        "/api/v1/admin/users/root", json={"password": "another long one", "is_active": False}
    )
    assert refused.status_code == 409
    assert refused.json()["title"] == "Last admin"
    assert sign_in(console.visitor(), "root").status_code == 303
    assert admin.patch("/api/v1/admin/users/nobody", json={}).status_code == 404


def test_no_secret_comes_into_the_record(console: Console) -> None:
    admin = console.program("admin", "root")
    admin.post("/api/v1/admin/users", json={"user_name": "ann", "role": "viewer"})
    admin.patch("/api/v1/admin/users/ann", json={"password": PASSWORD, "role": "operator"})
    token = admin.post("/api/v1/tokens", json={"label": "ci", "user_name": "ann"}).json()
    events = audit(console.store, actor="root").rows
    assert {"user.create", "user.change", "token.create"} <= set(events["act"])
    text = str(events.to_dicts())
    assert PASSWORD not in text
    assert token["token"].split("_", 2)[2] not in text


def test_ending_sessions_signs_out_everywhere_and_spares_tokens(console: Console) -> None:
    browser, program = console.browser("viewer", "ann"), console.program("viewer", "ann")
    admin = console.program("admin")
    assert admin.post("/api/v1/admin/users/ann/end-sessions").status_code == 200
    assert browser.get("/api/v1/me").status_code == 401
    assert program.get("/api/v1/me").status_code == 200


def test_a_token_can_do_what_it_says_and_is_shown_once(console: Console) -> None:
    operator = console.program("operator", "ann")
    made = operator.post("/api/v1/tokens", json={"label": "grafana"}).json()
    assert made["role"] == "viewer"
    client = console.visitor()
    client.headers["authorization"] = f"Bearer {made['token']}"
    assert client.get("/api/v1/me").json() == {"user_name": "ann", "role": "viewer", "via": "api"}
    listed = operator.get("/api/v1/tokens").json()["items"]
    assert made["token_id"] in {each["token_id"] for each in listed}
    assert made["token"] not in str(listed)
    assert "secret_hash" not in str(listed)


def test_nobody_makes_a_token_above_themselves(console: Console) -> None:
    operator = console.program("operator", "ann")
    above = operator.post("/api/v1/tokens", json={"label": "x", "role": "admin"})
    assert above.status_code == 403
    other = operator.post("/api/v1/tokens", json={"label": "x", "user_name": "root"})
    assert other.status_code == 403
    admin = console.program("admin", "root")
    beyond = {"label": "x", "role": "admin", "user_name": "ann"}
    assert admin.post("/api/v1/tokens", json=beyond).status_code == 403


def test_a_weaker_token_of_an_admin_makes_no_stronger_one(console: Console) -> None:
    admin = console.program("admin", "root")
    weak = admin.post("/api/v1/tokens", json={"label": "weak", "role": "operator"}).json()
    client = console.visitor()
    client.headers["authorization"] = f"Bearer {weak['token']}"
    strong = client.post("/api/v1/tokens", json={"label": "strong", "role": "admin"})
    assert strong.status_code == 403


def test_the_tokens_of_others_are_neither_seen_nor_revoked(console: Console) -> None:
    ann, bob = console.program("operator", "ann"), console.program("operator", "bob")
    (mine,) = ann.get("/api/v1/tokens").json()["items"]
    assert mine["user_name"] == "ann"
    assert bob.delete(f"/api/v1/tokens/{mine['token_id']}").status_code == 404
    assert ann.get("/api/v1/me").status_code == 200
    assert console.program("admin").get("/api/v1/tokens").json()["total"] == 3
    admin = console.program("admin")
    assert admin.delete(f"/api/v1/tokens/{mine['token_id']}").status_code == 200
    assert ann.get("/api/v1/me").status_code == 401


def test_a_name_and_password_are_traded_for_a_token(console: Console) -> None:
    console.browser("operator", "ann")
    client = console.visitor()
    wrong = client.post("/api/v1/sign-in", json={"user_name": "ann", "password": "wrong"})
    assert wrong.status_code == 401
    assert wrong.json()["title"] == "Wrong password"
    made = client.post("/api/v1/sign-in", json={"user_name": "ann", "password": PASSWORD})
    assert made.status_code == 201
    client.headers["authorization"] = f"Bearer {made.json()['token']}"
    assert client.get("/api/v1/me").json()["role"] == "operator"


def test_what_is_not_known_is_refused_and_not_passed_over(console: Console) -> None:
    answer = console.program("admin").patch("/api/v1/admin/users/root", json={"isActive": False})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == "body.isActive"


def test_a_refused_password_is_not_sent_back(console: Console) -> None:
    sent = {"user_name": ["x"], "password": "my secret password"}
    answer = console.visitor().post("/api/v1/sign-in", json=sent)
    assert answer.status_code == 422
    assert "my secret" not in answer.text


def test_the_audit_is_for_admins_and_says_who_what_and_whence(console: Console) -> None:
    admin = console.program("admin", "root")
    console.browser("viewer", "ann")
    page = admin.get("/api/v1/admin/audit", params={"act": "session", "actor": "ann"}).json()
    (event,) = page["items"]
    assert event["act"] == "session.start"
    assert event["via"] == "browser"
    assert event["address"] == "testclient"
    assert event["detail"] == {}
    assert (
        admin.get("/api/v1/admin/audit", params={"search": "nothing like it"}).json()["total"] == 0
    )
