from __future__ import annotations

import pytest

from api.listening import CannotListen, listening


def test_of_two_who_listen_at_one_address_the_second_is_told_what_to_do() -> None:
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert port > 0
        with pytest.raises(CannotListen, match=f"can't listen on 127.0.0.1:{port}.*--port"):
            listening("127.0.0.1", port)
