"""The till service at a reader of pcscd, with the shop card in a second one: a sale, its void, and a shop card that is pulled."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joren.cli import main
from joren.commands.counter_readers import Hold
from joren.commands.till_service import till_stations
from joren.commands.workspace import CARDS, SHOPS, Workspace
from joren.host.service.calls import CALLS
from joren.host.service.desk import Desk, Session
from joren.host.service.fields import check
from joren.host.service.pcsc import tap_readers
from joren.host.service.problems import Problem
from joren.host.service.secret import Token
from joren.host.service.server import TillService
from joren.simulator.image import load_image
from pcsckit import PcscdKit


def test_a_till_service_with_two_readers_of_pcscd(pcscd: PcscdKit, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    for words in (["card", "new", "alice"], ["shop", "new", "bakery"]):
        assert CliRunner().invoke(main, ["--home", str(workspace.home), *words]).exit_code == 0
    customer, shop = (
        pcscd.slot(load_image(workspace.path(place, name), workspace.storage), number)
        for number, (place, name) in enumerate(((CARDS, "alice"), (SHOPS, "bakery")))
    )
    customer.insert()
    shop.insert()

    async def day(service: TillService) -> None:
        async def call(name: str, **given: Any) -> dict[str, Any]:
            return await service.desk.call(name, check(CALLS[name].fields, given), Session())

        async def happens(wanted: str) -> None:
            listener = service.desk.listen(Session(), after="")
            async with asyncio.timeout(10):
                while (event := await listener.next()) is not None and event.fields["event"] != wanted:
                    pass
            service.desk.events.leave(listener)

        await service.start()
        try:
            sale = await call("purchase", reference="S-1", amount_minor=1250, factor_tenths=20)
            assert (sale["reader"], sale["points"]) == (pcscd.names[0], 25)
            assert (await call("void", reference="V-1", sale="S-1"))["points_balance"] == 0
            await asyncio.to_thread(shop.remove)
            with pytest.raises(Problem, match="the link to the shop card was lost"):
                await call("purchase", reference="S-2", amount_minor=1250)
            await happens("reader_gone")
            with pytest.raises(Problem, match=f"its shop card is gone: {pcscd.names[1]}: no card is in the reader"):
                await call("purchase", reference="S-2", amount_minor=1250)
            await asyncio.to_thread(shop.insert)
            await happens("reader_back")
            assert (await call("purchase", reference="S-2", amount_minor=1250))["points_balance"] == 12
        finally:
            assert await service.stop()

    with till_stations(Hold(workspace), tap_readers(["*00 00"]), "pcsc:*00 01", 1) as stations:
        asyncio.run(day(TillService(Desk(stations, workspace.product.hour_of), Token("x" * 64))))
