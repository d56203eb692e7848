"""The proof for gateways: they are killed, paused and cut off under sixteen strategies, and what those were told is held against the venues' record."""
