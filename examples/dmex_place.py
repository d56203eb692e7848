"""Placing on DMEX with an order encoder of your own. UNPROVEN against today's venue.

The hash recipe here is the one that DMEX published for its contracts of 2019-2023 (Solidity-packed keccak256 of eight
fields). What today's venue hashes is not public; put its recipe here when you have it. Cancelling needs none of this.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from web3 import Web3

from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from router import Order, OrderType, Router, Side

TYPES = ["address", "bytes32", "address", "uint256", "uint256", "bool", "uint256", "uint256"]
CONTRACT = "0xD956187DA103e81548DD15f9245Dcb045a8378FE"
FUTURES_CONTRACT_HASH = "0x30a4c40be4cebe0a2b55887b7a164d7a5e9ee77ab228d48ecb749f8921d00b2b"


def legacy_hash(*fields: Any) -> str:
    """The order hash of the 2019-2023 recipe, from its eight fields in order."""
    return Web3.to_hex(Web3.solidity_keccak(TYPES, list(fields)))


def encoder(address: str) -> Any:
    """An order encoder for the wallet with this address."""

    def encode(order: Order) -> tuple[str, Mapping[str, Any]]:
        amount, price = (int(number.scaleb(8)) for number in (order.quantity, order.price))
        leverage, nonce = 10**8 * order.options.get("leverage", 1), time.time_ns() // 1_000_000
        buy = order.side is Side.BUY
        digest = legacy_hash(CONTRACT, FUTURES_CONTRACT_HASH, address, amount, price, buy, nonce, leverage)
        numbers = {"amount": str(amount), "price": str(price), "leverage": str(leverage)}
        owner = {"hash": digest, "user_address": address, "base_token": CONTRACT, "asset": order.symbol}
        return digest, {**owner, **numbers, "side": buy, "nonce": nonce, **replaced(order)}

    return encode


def replaced(order: Order) -> Mapping[str, Any]:
    return {"replace_hash": order.options["replace_hash"]} if "replace_hash" in order.options else {}


async def main() -> None:
    async with DmexSimulator() as venue:
        dmex = Dmex(**venue.credentials, order_encoder=encoder(venue.address))
        async with Router({"dmex": dmex}) as router:
            order = Order("dmex", "btcusd", Side.BUY, OrderType.LIMIT, "0.5", "60000", options={"leverage": 10})
            print(await router.submit(order))
            print(await router.cancel(order))


if __name__ == "__main__":
    asyncio.run(main())
