"""A TCP proxy between workers and broker, whose connections can be reset at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Final, Self

from tests.ports import HOST, free_port

_CHUNK: Final = 256 * 1024
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on `port` and passes on to `target`, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.resets = 0
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.start_server(self._serve, HOST, self.port)
        self._server = asyncio.run_coroutine_threadsafe(server, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        passing = asyncio.all_tasks() - {asyncio.current_task()}
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await asyncio.sleep(0)

    def reset(self, share: float) -> None:
        """Resets (RST, as a dying router does) this share of the open connections, oldest first."""
        asyncio.run_coroutine_threadsafe(self._reset(share), self._loop).result(10)

    async def _reset(self, share: float) -> None:
        writers = list(self._open)
        for writer in writers[: round(share * len(writers))]:
            connection = writer.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
            self.resets += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, self._target)
            passing = [
                asyncio.create_task(_pass_on(reader, inner_writer)),
                asyncio.create_task(_pass_on(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in passing:
                    task.cancel()
                inner_writer.transport.abort()
        except OSError:
            pass  # the broker is down, and the client is told so by the close
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
