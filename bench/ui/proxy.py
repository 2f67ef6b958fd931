"""TCP proxy that delays every byte by a fixed time in both directions, like a distant network.

Unlike a pause between messages, it does not reduce bandwidth.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 65536


@asynccontextmanager
async def delayed(port: int, delay_s: float) -> AsyncIterator[int]:
    """Forward another port to 127.0.0.1:`port` with a delay each way, and yield that port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers = [writer]
        try:
            await asyncio.sleep(delay_s)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(far_writer)
            await asyncio.gather(_pass(reader, far_writer, delay_s), _pass(far_reader, writer, delay_s))
        except (OSError, asyncio.CancelledError):
            pass  # the app is down or the proxy is closing: close the connection
        finally:
            for each in writers:
                each.close()
            tasks.discard(task)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Copy the stream and its end, each piece `delay_s` after it arrived."""
    clock = asyncio.get_running_loop().time
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            pieces.put_nowait((clock() + delay_s, data))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(due - clock())
            if not data:
                writer.write_eof()
                break
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        reading.cancel()
