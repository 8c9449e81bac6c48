"""How the pages at the door look. They are plain HTML: nothing else may be loaded yet."""

from __future__ import annotations

from html import escape

from warehouse.people import ADMIN_NAME, PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} - Pilothouse</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/sign-in.css">
</head>
<body>
<main>
<div class="brand">
<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.7"
 stroke-linecap="round" aria-hidden="true"><circle cx="12" cy="12" r="6.5"/>
<circle cx="12" cy="12" r="1.2"/><path d="M12 1.8v6.7M12 15.5v6.7M3.2 6.9l5.8 3.4M15 13.7l5.8
3.4M3.2 17.1l5.8-3.4M15 10.3l5.8-3.4"/></svg>
<span>Pilothouse</span>
</div>
<section class="card" aria-labelledby="title">
<h1 id="title">{title}</h1>
{body}
</section>
</main>
<footer>The console from which a GPU cloud is steered</footer>
</body>
</html>
"""


def sign_in_page(
    *, form_token: str, next_path: str, user_name: str = "", error: str = "", news: str = ""
) -> str:
    """The form for a name and a password."""
    bad = ' aria-invalid="true" aria-describedby="notice"' if error else ""
    on_name, on_password = ("", " autofocus") if user_name else (" autofocus", "")
    return _page(
        "Sign in",
        f"""<p>With the name and password of your account.</p>
{_notice(error)}{_notice(news, is_good=True)}
<form method="post" action="/sign-in">
{_hidden("form_token", form_token)}{_hidden("next", next_path)}
<div class="field"><label for="user_name">Name</label>
<input type="text" id="user_name" name="user_name" value="{escape(user_name)}" required
 maxlength="64" autocomplete="username" autocapitalize="none" spellcheck="false"{bad}{on_name}>
</div>
<div class="field"><label for="password">Password</label>
<input type="password" id="password" name="password" required maxlength="{PASSWORD_LENGTH_MAX}"
 autocomplete="current-password"{bad}{on_password}></div>
<button type="submit">Sign in</button>
</form>""",
    )


def first_password_page(*, form_token: str, token: str, error: str = "") -> str:
    """The form in which the first user chooses a password."""
    return _page(
        "Welcome aboard",
        f"""<p>Choose the password of <code>{ADMIN_NAME}</code>, the first user. With it you
sign in from now on and let others in.</p>
{_notice(error)}
<form method="post" action="/sign-in/first">
{_hidden("form_token", form_token)}{_hidden("token", token)}
<input type="text" name="user_name" value="{ADMIN_NAME}" autocomplete="username" hidden>
{_new_password(has_error=bool(error), is_first=True)}
<button type="submit">Set password and sign in</button>
</form>""",
    )


def password_page(*, form_token: str, user_name: str, error: str = "", news: str = "") -> str:
    """The form in which somebody changes their own password."""
    return _page(
        "Change password",
        f"""<p>The password of <code>{escape(user_name)}</code>. Everywhere else you are signed
out by it.</p>
{_notice(error)}{_notice(news, is_good=True)}
<form method="post" action="/password">
{_hidden("form_token", form_token)}
<input type="text" name="user_name" value="{escape(user_name)}" autocomplete="username" hidden>
<div class="field"><label for="old_password">Password now</label>
<input type="password" id="old_password" name="old_password" required autofocus
 maxlength="{PASSWORD_LENGTH_MAX}" autocomplete="current-password"></div>
{_new_password(has_error=bool(error), is_first=False)}
<button type="submit">Change password</button>
</form>
<p class="second"><a href="/">Back to the console</a></p>""",
    )


def sign_out_page(*, form_token: str, user_name: str) -> str:
    """The question before signing out."""
    return _page(
        "Sign out",
        f"""<p>You are signed in as <code>{escape(user_name)}</code>.</p>
<form method="post" action="/sign-out">{_hidden("form_token", form_token)}
<button type="submit" autofocus>Sign out</button></form>
<p class="second"><a href="/">Back to the console</a></p>""",
    )


def dead_link_page() -> str:
    """What an opened one-time link says when it no longer works."""
    return _page(
        "This link no longer works",
        """<p>It was used before, has expired, or the console was started again since, which
prints a new one. If a password has been chosen, sign in with it.</p>
<a class="button" href="/sign-in">Go to sign-in</a>""",
    )


def not_opened_page() -> str:
    """What is said while nobody can sign in yet."""
    return _page(
        "Open the link first",
        """<p>Nobody has a password here yet. The console printed a one-time link where it was
started: open it and choose the first one. It can also be set before the start, in
<code>PILOTHOUSE_ADMIN_PASSWORD</code>.</p>
<a class="button" href="/sign-in">I have done that</a>""",
    )


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=escape(title), body=body)


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def _notice(text: str, *, is_good: bool = False) -> str:
    if not text:
        return ""
    role, style = ("status", "notice good") if is_good else ("alert", "notice")
    words = escape(text[0].upper() + text[1:])
    return f'<div class="{style}" id="notice" role="{role}">{words}.</div>\n'


def _new_password(*, has_error: bool, is_first: bool) -> str:
    focus = " autofocus" if is_first else ""
    bad = ' aria-invalid="true"' if has_error and is_first else ""
    ends = f'required minlength="{PASSWORD_LENGTH_MIN}" maxlength="{PASSWORD_LENGTH_MAX}"'
    return f"""<div class="field"><label for="password">New password</label>
<input type="password" id="password" name="password" {ends}
 autocomplete="new-password" aria-describedby="password-hint"{bad}{focus}>
<p class="hint" id="password-hint">At least {PASSWORD_LENGTH_MIN} characters; a few words do
well.</p></div>
<div class="field"><label for="repeated">New password again</label>
<input type="password" id="repeated" name="repeated" {ends} autocomplete="new-password"{bad}>
</div>"""
