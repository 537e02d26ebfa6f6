# A command at a host by asyncssh, with stdin, stdout and an exit status as ssh has them.
import asyncio
import sys

import asyncssh

host, port, proxy, user, key, known_hosts, command = sys.argv[1:]


async def main():
    connecting = asyncssh.connect(
        host,
        int(port),
        proxy_command=proxy or (),
        username=user,
        client_keys=[key],
        known_hosts=known_hosts,
        config=None,
        agent_path=None,
    )
    async with connecting as connection:
        ran = await connection.run(command, input=sys.stdin.buffer.read(), encoding=None)
        sys.stdout.buffer.write(ran.stdout)
        return ran.exit_status


sys.exit(asyncio.run(main()))
