"""Uploads an exported folder to a Hugging Face hub: huggingface.co, or whatever `HF_ENDPOINT` names."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # httpx's or httpx2's, by the library's version
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from valenza.errors import UsageError, WriteError


def push_to_hub(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload a folder as one commit to a model repository, which is made where there is none; returns its address.

    The token is that of `hf auth login` or `HF_TOKEN`. Raises `UsageError` where the hub refuses, `WriteError` where
    it cannot be reached; the folder stays as it is.
    """
    api, asked = HfApi(), f"--push-to-hub {repository}"
    try:
        place = api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(repo_id=place.repo_id, folder_path=folder, commit_message="Exported with valenza")
    except HFValidationError as error:
        raise UsageError(f"{asked}: {_first(error)}") from None
    except LocalTokenNotFoundError:
        raise UsageError(f"{asked}: {_LOGIN}") from None
    except OfflineModeIsEnabled:
        raise UsageError(f"{asked}: HF_HUB_OFFLINE is set; {folder} is there, to be pushed later") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == 401:
            raise UsageError(f"{asked}: {_LOGIN}") from None
        if 400 <= status < 500:
            raise UsageError(f"{asked}: the hub refuses: {_first(error)}") from None
        raise WriteError(f"{api.endpoint}: {_first(error)}; {folder} is there, to be pushed later") from None
    except (HTTPError, OSError) as error:
        raise WriteError(
            f"{api.endpoint}: cannot be reached: {_first(error)}; {folder} is there, to be pushed later"
        ) from None
    return str(place)


_LOGIN = "the hub knows no token of yours; `hf auth login`, or set HF_TOKEN"


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
