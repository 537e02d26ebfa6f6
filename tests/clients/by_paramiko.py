# A command at a host by paramiko, with stdin, stdout and an exit status as ssh has them.
import sys

import paramiko

host, port, proxy, user, key, known_hosts, command = sys.argv[1:]
client = paramiko.SSHClient()
client.load_host_keys(known_hosts)
client.set_missing_host_key_policy(paramiko.RejectPolicy())
sock = paramiko.ProxyCommand(proxy) if proxy else None
client.connect(host, int(port), user, key_filename=key, sock=sock, allow_agent=False, look_for_keys=False)
channel = client.get_transport().open_session()
channel.exec_command(command)
channel.sendall(sys.stdin.buffer.read())
channel.shutdown_write()
sys.stdout.buffer.write(channel.makefile("rb").read())
status = channel.recv_exit_status()
client.close()
sys.exit(status)
