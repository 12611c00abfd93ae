"""As much of an NFSv3 client (RFC 1813, over TCP) as lists a directory and removes from it, so that no kernel has to have one."""
import os
import socket
import struct
import time

MOUNT, MOUNT_MNT = 100005, 1
NFS, NFS_LOOKUP, NFS_REMOVE, NFS_READDIR = 100003, 3, 12, 16
VERSION = 3
NO_ENTRY, TRY_LATER = 2, 10008
TIMEOUT = 20
TRIES_MAX, BETWEEN_TRIES = 20, 0.05
REPLY_MAX = 1 << 20


class Refused(Exception):
    """What the server answered instead of doing it: `status` as RFC 1813 numbers them."""

    def __init__(self, procedure, status):
        super().__init__(f"procedure {procedure}: the server answers with status {status}")
        self.status = status


def opaque(data):
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


class Reader:
    """The fields of a reply, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise AssertionError("a reply of the server ends too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def opaque(self):
        size = self.u32()
        data = self.take(size)
        self.take(-size % 4)
        return data

    def attributes(self):
        if self.u32():
            self.take(84)


class Program:
    """Calls of one RPC program on one connection, as root."""

    def __init__(self, port, number):
        self.number, self.xid = number, 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)

    def close(self):
        self.socket.close()

    def receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise AssertionError("the server hung up")
            data += part
        return data

    def record(self):
        data, last = b"", False
        while not last:
            mark = struct.unpack(">I", self.receive(4))[0]
            last = mark >> 31 == 1
            data += self.receive(mark & 0x7FFFFFFF)
            if len(data) > REPLY_MAX:
                raise AssertionError("a reply of the server has no end")
        return data

    def call(self, procedure, arguments):
        """What follows the header of the reply, where its status is 0; asked again where the server says "later"."""
        for _ in range(TRIES_MAX):
            reply = self.send(procedure, arguments)
            status = reply.u32()
            if status == 0:
                return reply
            if status != TRY_LATER:
                break
            time.sleep(BETWEEN_TRIES)
        raise Refused(procedure, status)

    def send(self, procedure, arguments):
        self.xid += 1
        root = struct.pack(">I", 0) + opaque(b"e2e") + struct.pack(">III", 0, 0, 0)
        credentials = struct.pack(">I", 1) + opaque(root) + struct.pack(">II", 0, 0)
        message = struct.pack(">IIIIII", self.xid, 0, 2, self.number, VERSION, procedure) + credentials + arguments
        self.socket.sendall(struct.pack(">I", 1 << 31 | len(message)) + message)
        reply = Reader(self.record())
        if (reply.u32(), reply.u32(), reply.u32()) != (self.xid, 1, 0):
            raise AssertionError("not a reply to what was asked")
        reply.u32(), reply.opaque()
        if accepted := reply.u32():
            raise AssertionError(f"the server does not take the call: {accepted}")
        return reply


class Directory:
    """A directory of an export."""

    def __init__(self, nfs, handle):
        self.nfs, self.handle = nfs, handle

    def lookup(self, name):
        reply = self.nfs.call(NFS_LOOKUP, opaque(self.handle) + opaque(os.fsencode(name)))
        return Directory(self.nfs, reply.opaque())

    def remove(self, name):
        self.nfs.call(NFS_REMOVE, opaque(self.handle) + opaque(os.fsencode(name)))

    def read(self, cookie=0, verifier=bytes(8), size=4096):
        """Some entries after `cookie`: [(name, its cookie)], the verifier for the next call, whether that was the end."""
        reply = self.nfs.call(NFS_READDIR, opaque(self.handle) + struct.pack(">Q", cookie) + verifier + struct.pack(">I", size))
        reply.attributes()
        verifier = reply.take(8)
        entries = []
        while reply.u32():
            reply.u64()
            name = os.fsdecode(reply.opaque())
            entries.append((name, reply.u64()))
        return entries, verifier, reply.u32() != 0

    def pages(self, calls_max):
        """Lists all, a call at a time; between two calls the caller may do what it likes."""
        cookie, verifier, end = 0, bytes(8), False
        for _ in range(calls_max):
            entries, verifier, end = self.read(cookie, verifier)
            if entries:
                cookie = entries[-1][1]
            yield [name for name, _ in entries if name not in (".", "..")]
            if end:
                return
        raise AssertionError(f"the directory has no end after {calls_max} calls")


def mount(export, mount_port, nfs_port):
    """The root of an export."""
    program = Program(mount_port, MOUNT)
    reply = program.call(MOUNT_MNT, opaque(os.fsencode(export)))
    handle = reply.opaque()
    program.close()
    return Directory(Program(nfs_port, NFS), handle)
