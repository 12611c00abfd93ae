"""A TCP line of our own between two sites, that can be bad: cut, silent, slow, late, doubled. Counts what it carries."""
import asyncio
import socket
import threading
import time

CHUNK = 1 << 16
HELD_MAX = 1 << 20      # bytes on their way in one direction: what a slow line keeps back stays with the sender


class Direction:
    """Bytes from one socket to the other, each chunk at the time it is due."""

    def __init__(self, line, reader, writer, forwards):
        self.line, self.reader, self.writer, self.forwards = line, reader, writer, forwards
        self.queue = asyncio.Queue()
        self.held = 0
        self.room = asyncio.Event()

    async def take(self):
        while True:
            while self.held > HELD_MAX:
                self.room.clear()
                await self.room.wait()
            chunk = await self.reader.read(CHUNK)
            self.held += len(chunk)
            self.queue.put_nowait((time.monotonic() + self.line.delay, chunk))
            if not chunk:
                return

    async def give(self):
        while True:
            due, chunk = await self.queue.get()
            if not chunk:
                return
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while self.line.silent:
                await asyncio.sleep(0.01)
            if self.line.rate:
                await asyncio.sleep(len(chunk) / self.line.rate)
            self.writer.write(chunk)
            await self.writer.drain()
            self.held -= len(chunk)
            self.room.set()
            if self.forwards:
                self.line.carried += len(chunk)

    async def run(self):
        taking, giving = asyncio.ensure_future(self.take()), asyncio.ensure_future(self.give())
        try:
            # Both: what was taken before the end still goes over.
            await asyncio.gather(taking, giving)
        finally:
            taking.cancel()
            giving.cancel()


class Line:
    """Listens at `endpoint` and carries to `target`, a port of 127.0.0.1. Thread-safe; end with close()."""

    def __init__(self, target):
        self.target = target
        self.delay = 0.0        # seconds, each way
        self.rate = 0           # bytes a second, each way; 0: as fast as it goes
        self.silent = False     # nothing goes over, nothing is closed: a half-open connection
        self.refusing = False   # whoever connects is sent away
        self.doubles = False    # a second connection to the site hears and says nothing new: all the client's bytes once more
        self.carried = 0        # bytes to the target
        self.connections = 0    # made so far
        self.open = set()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self.connected, sock=self.socket))
        self.loop.run_forever()

    async def connected(self, reader, writer):
        if self.refusing:
            writer.transport.abort()
            return
        self.connections += 1
        writers = [writer]
        self.open.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(there_writer)
            self.open.add(there_writer)
            both = [Direction(self, reader, there_writer, True).run(), Direction(self, there_reader, writer, False).run()]
            if self.doubles:
                both[0].close()
                again_reader, again_writer = await asyncio.open_connection("127.0.0.1", self.target)
                writers.append(again_writer)
                self.open.add(again_writer)
                both[0] = self.doubled(reader, there_writer, again_reader, again_writer)
            running = [asyncio.ensure_future(one) for one in both]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)  # one way closed: as a router would, both
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one in writers:
                self.open.discard(one)
                one.transport.abort()

    async def doubled(self, reader, writer, again_reader, again_writer):
        async def discard():
            while await again_reader.read(CHUNK):
                pass
        discarding = asyncio.ensure_future(discard())
        try:
            while chunk := await reader.read(CHUNK):
                self.carried += len(chunk)
                writer.write(chunk)
                await writer.drain()
                if not again_writer.is_closing():
                    again_writer.write(chunk)
        finally:
            discarding.cancel()

    def cut(self):
        """Ends all connections at once, in the middle of whatever they carry."""
        def abort():
            for writer in list(self.open):
                writer.transport.abort()
        self.loop.call_soon_threadsafe(abort)

    def heal(self):
        self.delay, self.rate, self.silent, self.refusing, self.doubles = 0.0, 0, False, False, False

    def close(self):
        self.cut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.socket.close()
