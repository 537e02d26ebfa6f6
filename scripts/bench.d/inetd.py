"""Starts a program on each TCP connection, as inetd does: inetd.py ADDRESS PORT PROGRAM..."""

import signal
import socket
import subprocess
import sys

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=128)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    subprocess.Popen(sys.argv[3:], stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)
    connection.close()
