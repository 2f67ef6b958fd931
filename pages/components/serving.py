"""The checks that surround Streamlit's server: hosts, origins, headers and uploads."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import streamlit as st
from starlette.middleware import Middleware
from streamlit import runtime

from core.errors import OptionError
from core.web import Guard, Pages, UploadLimit, check_address, with_server

if TYPE_CHECKING:
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager


def middleware() -> list[Middleware]:
    """Return the middleware of the app. End the process if other machines could reach an app without login."""
    try:
        has_login = st.secrets.load_if_toml_exists() and "auth" in st.secrets
        check_address(st.get_option("server.address"), has_login=has_login)
    except OptionError as error:
        sys.exit(f"slotlab: {error}")
    html = with_server((Path(st.__file__).parent / "static" / "index.html").read_text("utf-8"))
    names = {page.stem for page in Path(__file__).parents[1].glob("*.py")}
    return [
        Middleware(Guard, hosts=st.get_option("server.allowedHosts"), html=html),
        Middleware(Pages, html=html, names=names),
        Middleware(UploadLimit, held=_uploads_held, max_file=st.get_option("server.maxUploadSize") << 20),
    ]


def _uploads_held() -> tuple[int, int]:
    """Return the number of uploaded files in memory, and their bytes."""
    manager = cast("MemoryUploadedFileManager", runtime.get_instance().uploaded_file_mgr)
    files = [file for session in list(manager.file_storage.values()) for file in list(session.values())]
    return len(files), sum(len(file.data) for file in files)
