"""A proxy in the middle of a cluster of three, whose links can be cut by direction. chaos.py runs it as a process of its own:

    links.py [[NODE, LISTENS_AT, [TO, ...]], ...]    as JSON: the node's listeners, each by its port and that of the proxy for it

A link is a pair of ends, 1 to 3 for the nodes and 0 for all clients, and means the bytes that go from the first to the second, on
connections that either of them opened. Who opened one is known by the process that holds its socket. Commands come as JSON on
standard input, one a line, and are answered with `ok` when they are in force:

    {"cut": [[1, 2], ...], "reset": false}   these links are cut, and no others. What travels on them is held, as by a network that drops
                                             packets: it arrives when the link is there again. With reset, connections between the
                                             two ends are closed, and new ones too
    {"pid": {"1": 4711}}                     the node is this process from now on
    {"down": 1}, {"up": 1}                   nobody listens for the node; the proxy listens for each of its listeners that does
"""
import asyncio
import json
import os
import pathlib
import socket
import struct
import sys

CLIENTS = 0
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
LOOKED_AGAIN_S = 0.005
# A held connection takes what fits the sockets' buffers, and no more than this in the process.
BUFFERED = 1 << 20


class Side(asyncio.Protocol):
    """One end of a relayed connection."""

    def __init__(self, pair, end):
        self.pair, self.end = pair, end
        self.transport, self.is_full, self.ended = None, False, False

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(BUFFERED)
        transport.pause_reading()
        self.pair.made(self)

    def data_received(self, data):
        self.other().transport.write(data)

    def eof_received(self):
        other = self.other()
        if other is not None and other.transport.can_write_eof() and not other.transport.is_closing():
            other.transport.write_eof()
        # The other direction goes on.
        return True

    def connection_lost(self, _error):
        self.ended = True
        self.pair.apply()

    def pause_writing(self):
        self.is_full = True
        self.pair.apply()

    def resume_writing(self):
        self.is_full = False
        self.pair.apply()

    def other(self):
        return self.pair.far if self is self.pair.near else self.pair.near


class Pair:
    """A connection that an end opened to the proxy, and the one that the proxy opened to a node for it."""

    def __init__(self, links, node, port):
        self.links, self.node, self.port = links, node, port
        self.near, self.far = Side(self, CLIENTS), None

    def made(self, side):
        if side is not self.near:
            self.far = side
            self.apply()
            return
        side.end = self.links.holder(side.transport)
        self.links.pairs.add(self)
        if not self.apply():
            self.links.spawn(self.dial())

    async def dial(self):
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Side(self, self.node), "127.0.0.1", self.port)
        except OSError:
            self.near.transport.abort()

    def apply(self):
        """Does to both directions what the links allow. Whether the connection is over."""
        sides = [side for side in (self.near, self.far) if side is not None]
        if self.links.reset and any(self.is_cut(side) for side in sides) and self.near.end != self.node:
            for side in sides:
                side.transport.abort()
        for side in sides:
            other = side.other()
            if side.ended:
                # The end of a connection travels like its bytes.
                if other is not None and not other.ended and not self.is_cut(side):
                    other.transport.close()
            elif other is not None and not other.ended:
                if self.is_cut(side) or other.is_full:
                    side.transport.pause_reading()
                else:
                    side.transport.resume_reading()
        over = all(side.ended or side.transport.is_closing() for side in sides)
        if over:
            self.links.pairs.discard(self)
        return over

    def is_cut(self, side):
        """Whether what comes from this side does not arrive."""
        return (side.end, self.node if side is self.near else self.near.end) in self.links.cut


class Links:
    def __init__(self, listeners):
        self.listeners = listeners
        self.pids, self.cut, self.reset = {}, set(), False
        self.pairs, self.servers, self.tasks = set(), {}, set()

    def spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def holder(self, transport):
        """The node whose process is at the other end, else the clients."""
        inode = inode_of(transport.get_extra_info("peername")[1], transport.get_extra_info("sockname")[1])
        return next((node for node, pid in self.pids.items() if inode is not None and holds(pid, inode)), CLIENTS)

    async def obey(self, command):
        if "pid" in command:
            self.pids |= {int(node): pid for node, pid in command["pid"].items()}
        if "cut" in command:
            self.cut, self.reset = {tuple(link) for link in command["cut"]}, command.get("reset", False)
            for pair in list(self.pairs):
                pair.apply()
        if "down" in command:
            for server in self.servers.pop(command["down"], []):
                server.close()
        if "up" in command:
            node = command["up"]
            self.servers[node] = []
            for _, at, to in (each for each in self.listeners if each[0] == node):
                self.spawn(self.listen(node, at, to, self.servers[node]))

    async def listen(self, node, at, to, servers):
        """Begins to listen when the node does."""
        loop = asyncio.get_running_loop()
        while self.servers.get(node) is servers:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", to)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(LOOKED_AGAIN_S)
        if self.servers.get(node) is servers:
            servers.append(await loop.create_server(lambda: Pair(self, node, to).near, "127.0.0.1", at, reuse_address=True))

    async def run(self):
        loop = asyncio.get_running_loop()
        told = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
        while line := await told.readline():
            await self.obey(json.loads(line))
            print("ok", flush=True)


def inode_of(port, at):
    """The inode of the socket on loopback with this port that is connected to that one, by the kernel's sock_diag(7). /proc/net/tcp
    tells it too, but takes longer the more connections there were in the last minute."""
    loopback = socket.inet_aton("127.0.0.1") + bytes(12)
    asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + struct.pack(">HH", port, at)
    asked += loopback + loopback + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(asked), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + asked)
        answer = kernel.recv(4096)
    kind, = struct.unpack_from("=H", answer, 4)
    # An error says that there is none: its process has ended.
    return str(struct.unpack_from("=I", answer, 16 + 68)[0]) if kind == SOCK_DIAG_BY_FAMILY else None


def holds(pid, inode):
    folder, wanted = pathlib.Path(f"/proc/{pid}/fd"), f"socket:[{inode}]"
    try:
        return any(os.readlink(each) == wanted for each in folder.iterdir())
    # It has ended, or closed a descriptor meanwhile.
    except OSError:
        return False


if __name__ == "__main__":
    asyncio.run(Links(json.loads(sys.argv[1])).run())
