# A command at a host by libssh, with stdin, stdout and an exit status as ssh has them.
import ctypes
import sys

host, port, proxy, user, key, known_hosts, command = (word.encode() for word in sys.argv[1:])

# As libssh/libssh.h has them.
HOST, PORT_STR, USER, KNOWN_HOSTS, PROXY_COMMAND, GLOBAL_KNOWN_HOSTS, PROCESS_CONFIG = 0, 2, 4, 8, 19, 35, 38
KNOWN_HOSTS_OK = 1

libssh = ctypes.CDLL("libssh.so.4")
for function in ["ssh_new", "ssh_channel_new", "ssh_get_error"]:
    getattr(libssh, function).restype = ctypes.c_void_p


def check(done):
    if not done:
        sys.exit(ctypes.string_at(libssh.ssh_get_error(session)).decode() or "libssh has failed")


session = ctypes.c_void_p(libssh.ssh_new())
options = [(HOST, host), (PORT_STR, port), (USER, user), (KNOWN_HOSTS, known_hosts), (GLOBAL_KNOWN_HOSTS, b"/dev/null")]
if proxy:
    options.append((PROXY_COMMAND, proxy))
for option, value in options:
    check(libssh.ssh_options_set(session, option, value) == 0)
check(libssh.ssh_options_set(session, PROCESS_CONFIG, ctypes.byref(ctypes.c_bool(False))) == 0)
check(libssh.ssh_connect(session) == 0)
if libssh.ssh_session_is_known_server(session) != KNOWN_HOSTS_OK:
    sys.exit("the host's key is not known")
private = ctypes.c_void_p()
check(libssh.ssh_pki_import_privkey_file(key, None, None, None, ctypes.byref(private)) == 0)
check(libssh.ssh_userauth_publickey(session, None, private) == 0)
channel = ctypes.c_void_p(libssh.ssh_channel_new(session))
check(libssh.ssh_channel_open_session(channel) == 0)
check(libssh.ssh_channel_request_exec(channel, command) == 0)
told = sys.stdin.buffer.read()
check(libssh.ssh_channel_write(channel, told, len(told)) == len(told))
check(libssh.ssh_channel_send_eof(channel) == 0)
buffer = ctypes.create_string_buffer(1 << 16)
while (count := libssh.ssh_channel_read(channel, buffer, len(buffer), 0)) > 0:
    sys.stdout.buffer.write(buffer.raw[:count])
status = libssh.ssh_channel_get_exit_status(channel)
libssh.ssh_channel_close(channel)
libssh.ssh_disconnect(session)
sys.exit(status)
