"""Kinds of numbers that several sections of a recipe take."""

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, lt=1)]
