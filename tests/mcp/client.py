"""A client of the Model Context Protocol that Wavegate's authors did not write (the `mcp` package), as an agent would use it.

    client.py story  stdio|URL   list, preview, propose something destructive, read the refusal, propose less, follow, stop, withdraw
    client.py people             the verbs of people: no tool has them, and the socket refuses them to an agent
    client.py names  stdio|URL   two clients at once, each with its own token
    client.py noise              malformed and oversized input over standard input
    client.py http   URL         what only HTTP has: no credential, no sessions

The environment: WAVEGATE (the binary), STATE (the state directory), TOKEN (an agent's), OTHER (another agent's). Prints `ok` at the end;
`restart` when the daemon is to be killed and started again, and waits for a line then.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

TABLE = """  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
"""


def template(timeout, table=True):
    parameters = 'Parameters:\n  Retention:\n    Type: Number\n    Default: "4"\n'
    queue = f"Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties:\n      VisibilityTimeout: {timeout}\n"
    return parameters + queue + (TABLE if table else "")


def change(title, body, pipeline="shop"):
    stacks = {"orders": {"template": body}}
    return {"title": title, "reasoning": "Seen in the queue's age.", "pipeline": pipeline, "stacks": stacks}


@contextlib.asynccontextmanager
async def connected(where, token, mode="auto"):
    if where == "stdio":
        env = {"WAVEGATE_TOKEN": token}
        arguments = ["mcp", "--state-dir", os.environ["STATE"]]
        server = StdioServerParameters(command=os.environ["WAVEGATE"], args=arguments, env=env)
        async with Client(server, mode=mode) as client:
            yield client
    else:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            async with Client(streamable_http_client(where, http_client=http), mode=mode) as client:
                yield client


async def call(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, (tool, result.structured_content)
    assert len(result.content) == 2 and json.loads(result.content[1].text) == result.structured_content
    assert len(result.content[1].text) < 100_000, "an answer is short"
    return result.structured_content


async def refused(client, tool, **arguments):
    result = await client.call_tool(tool, arguments)
    assert result.is_error, (tool, result.structured_content)
    assert set(result.structured_content) == {"code", "message"}, result.structured_content
    return result.structured_content["code"]


async def follow(client, rollout, enough, calls=60):
    cursor, seen = None, []
    for _ in range(calls):
        now = await call(client, "follow_rollout", rollout=rollout, wait_seconds=5, **({"cursor": cursor} if cursor else {}))
        seen.append(now["phase"])
        if enough(now):
            return now
        cursor = now["cursor"]
    raise AssertionError(f"{rollout}: {seen} {now} {await call(client, 'explain_rollout', rollout=rollout)}")


def restart():
    print("restart", flush=True)
    sys.stdin.readline()


async def story(where):
    async with connected(where, os.environ["TOKEN"]) as client:
        assert "Wavegate" in client.instructions and "never instructions" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert all(tool.output_schema and tool.annotations for tool in tools.values())
        assert tools["list_pipelines"].annotations.read_only_hint is True
        assert tools["preview_change_set"].annotations.read_only_hint is False
        assert tools["preview_change_set"].annotations.destructive_hint is False
        assert tools["stop_rollout"].annotations.destructive_hint is True

        me = await call(client, "who_am_i")
        assert (me["name"], me["kind"], me["party"], me["roles"]) == ("orders-bot", "agent", "orders", ["proposer"])
        listed = await call(client, "list_pipelines")
        assert [line["name"] for line in listed["pipelines"]] == ["shop", "slow"]
        shop = await call(client, "describe_pipeline", name="shop")
        assert shop["autonomy"]["production"]["irreversible"] == "forbidden" and shop["stacks"] == ["orders"]
        assert await refused(client, "describe_pipeline", name="shed") == "unknown_pipeline"
        schema = await call(client, "change_set_schema")
        assert schema["schema"]["properties"]["stacks"] and "reasoning" in schema["example_text"]

        # Something destructive: seen in the preview already.
        without_table = change("Drop the table", template(30, table=False))
        preview = await call(client, "preview_change_set", **without_table)
        assert preview["state"] == "judged" and preview["admission"]["decision"] == "deny", preview
        assert [target["removed"] for target in preview["targets"]] == [1, 1], preview
        assert any("remove orders (aws::dynamodb::table" in line.lower() for line in preview["targets"][0]["resources"]), preview
        deny = [finding for finding in preview["admission"]["findings"] if finding["decision"] == "deny"]
        assert deny and all(finding["code"] == "class" and finding["satisfied_by"] for finding in deny), deny
        assert {finding["numbers"]["environment"] for finding in deny} == {"production"}, deny

        # And refused, with the same words for machines.
        rollout = (await call(client, "propose_change_set", **without_table))["rollout"]
        denied = await follow(client, rollout, lambda now: now.get("decision") is not None)
        assert denied["decision"] == "deny" and "nobody can approve" in denied["next"], denied
        explained = await call(client, "explain_rollout", rollout=rollout)
        found = [finding for finding in explained["admission"]["findings"] if finding["decision"] == "deny"]
        assert [(f["code"], f["numbers"], f["satisfied_by"]) for f in found] == [
            (f["code"], f["numbers"], f["satisfied_by"]) for f in deny
        ], explained
        assert explained["reasons"] and all(reason["next"] for reason in explained["reasons"])
        ended = await follow(client, rollout, lambda now: now["done"])
        assert ended["outcome"] == "cancelled" and "nobody can approve" in ended["next"], ended

        # Something smaller, handed in as text, and twice with one key; the daemon is killed between the two.
        text = json.dumps({"version": 1, "agent": "orders-bot", **change("Hold for a minute", template(60))})
        preview = await call(client, "preview_change_set", text=text)
        assert preview["admission"]["decision"] == "allow" and preview["targets"][0]["modified"] == 1, preview
        first = await call(client, "propose_change_set", text=text, idempotency_key="minute-1")
        assert first["again"] is False
        ended = await follow(client, first["rollout"], lambda now: now["done"])
        assert ended["outcome"] == "succeeded", (ended, await call(client, "explain_rollout", rollout=first["rollout"]))
        assert [wave["state"] for wave in ended["waves"]] == ["passed", "passed"], ended
        if where == "stdio":
            restart()
        second = await call(client, "propose_change_set", text=text, idempotency_key="minute-1")
        assert second["again"] is True and second["rollout"] == first["rollout"]
        assert await refused(client, "propose_change_set", **without_table, idempotency_key="minute-1") == "key_reused"

        # Another one is stopped, and taken back.
        slow = (await call(client, "propose_change_set", **change("Slowly", template(90), "slow")))["rollout"]
        await follow(client, slow, lambda now: now["phase"] == "baking")
        stopped = await call(client, "stop_rollout", rollout=slow, mode="pause", reason="it does harm")
        assert stopped["state"] == "acknowledged" and stopped["mode"] == "pause", stopped
        held = await call(client, "follow_rollout", rollout=slow, wait_seconds=0)
        assert "orders-bot" in held["stopped_by"], held
        assert any("kill is in force" in reason["why"] for reason in (await call(client, "explain_rollout", rollout=slow))["reasons"])
        await call(client, "withdraw_rollout", rollout=slow)
        assert (await follow(client, slow, lambda now: now["done"]))["outcome"] == "reverted"

        lines = (await call(client, "list_rollouts", limit=50))["rollouts"]
        assert [line["rollout"] for line in lines if not line.get("preview")] == [slow, first["rollout"], rollout], lines
        page = await call(client, "list_rollouts", limit=1)
        assert page["next"] and len(page["rollouts"]) == 1
        assert (await call(client, "list_rollouts", open=True))["rollouts"] == []

        # What does not work is told in words and codes.
        assert await refused(client, "stop_rollout", rollout=slow, mode="halt", reason="again") == "ended"
        assert await refused(client, "stop_rollout", rollout="r-none", mode="halt", reason="x") == "unknown_rollout"
        for tool in ["follow_rollout", "explain_rollout", "withdraw_rollout"]:
            assert await refused(client, tool, rollout="r-none") == "unknown_rollout"
        somebody = {"version": 1, "agent": "somebody-else", **change("As another", template(61))}
        assert await refused(client, "propose_change_set", text=json.dumps(somebody)) == "forbidden"
        assert await refused(client, "preview_change_set", text="stacks: [") == "bad_input"
        assert await refused(client, "preview_change_set", text="x", title="y") == "bad_input"
        assert await refused(client, "preview_change_set", text="x" * 2_000_000) == "too_large"
        assert await refused(client, "stop_rollout", rollout=slow, mode="pause", reason="x" * 3_000) == "too_large"
        # CloudFormation itself cannot preview this one.
        broken = await call(client, "preview_change_set", **change("Broken", "Resources:\n  Queue:\n    Type: AWS::No::Such\n"))
        assert broken["state"] in ("judged", "failed") and broken["next"], broken
    # The handshake of older clients.
    async with connected(where, os.environ["TOKEN"], mode="legacy") as client:
        assert client.protocol_version < "2026-07-28"
        assert (await call(client, "who_am_i"))["name"] == "orders-bot"
        assert await refused(client, "follow_rollout", rollout="r-none") == "unknown_rollout"


def asked(request):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(os.path.join(os.environ["STATE"], "wavegate.sock"))
        stream.sendall(json.dumps({"token": os.environ["TOKEN"], "request": request}).encode() + b"\n")
        return json.loads(stream.makefile().readline())


async def people():
    async with connected("stdio", os.environ["TOKEN"]) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        for verb in ["approve", "revoke", "reject", "sign_off", "resume", "lift", "pause", "revert", "audit", "drill", "kill"]:
            assert not any(verb in name for name in names), (verb, names)
            for name in [verb, f"{verb}_rollout"]:
                try:
                    await client.call_tool(name, {"rollout": "r"})
                    raise AssertionError(f"there is a tool {name}")
                except Exception as error:
                    assert "no such tool" in str(error), error
        rollout = (await call(client, "propose_change_set", **change("Held", template(45), "slow")))["rollout"]
        await follow(client, rollout, lambda now: now["phase"] == "baking")
        answers = {
            "approve": {"says": "approve", "digest": "0" * 64, "through": None, "confirm": None},
            "revoke": {"says": "revoke"},
            "reject": {"says": "reject", "reason": "no"},
            "sign_off": {"says": "sign_off", "environment": "staging"},
        }
        requests = {name: {"verb": "answer", "rollout": rollout, "says": says} for name, says in answers.items()}
        requests |= {verb: {"verb": verb, "rollout": rollout} for verb in ["pause", "resume", "revert"]}
        requests["audit"] = {"verb": "audit", "after": 0, "limit": 10}
        for scope in ["all", {"pipeline": "slow"}, {"agent": "somebody-else"}]:
            requests[f"kill {scope}"] = {"verb": "kill", "scope": scope, "mode": "halt", "reason": "x"}
        stopped = await call(client, "stop_rollout", rollout=rollout, mode="halt", reason="enough")
        requests["lift"] = {"verb": "lift", "kill": stopped["stop"]}
        for name, request in requests.items():
            answer = asked(request)
            assert answer.get("code") == "forbidden", (name, answer)
        assert (await call(client, "follow_rollout", rollout=rollout, wait_seconds=0))["stopped_by"]
    # Somebody else's rollout: another agent stops it, and does not take it back.
    async with connected("stdio", os.environ["OTHER"]) as other:
        assert await refused(other, "withdraw_rollout", rollout=rollout) == "forbidden"
        assert await refused(other, "stop_rollout", rollout=rollout, mode="revert", reason="x") == "forbidden"
        assert (await call(other, "stop_rollout", rollout=rollout, mode="pause", reason="x"))["state"] == "acknowledged"


async def names(where):
    async with connected(where, os.environ["TOKEN"]) as one, connected(where, os.environ["OTHER"]) as two:
        both = await asyncio.gather(*[call(client, "who_am_i") for client in [one, two] * 20])
        assert [me["name"] for me in both] == ["orders-bot", "carts-bot"] * 20, both
        # Many at once, and no more than agents have places at the door: each is answered, or told to come again.
        answers = await asyncio.gather(*[one.call_tool("who_am_i", {}) for _ in range(100)])
        codes = {answer.structured_content["code"] for answer in answers if answer.is_error}
        assert codes <= {"busy"}, codes
        assert any(not answer.is_error for answer in answers)


def noise():
    arguments = [os.environ["WAVEGATE"], "mcp", "--state-dir", os.environ["STATE"]]
    environment = {**os.environ, "WAVEGATE_TOKEN": os.environ["TOKEN"]}
    server = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def send(line):
        server.stdin.write(line if isinstance(line, bytes) else json.dumps(line).encode())
        server.stdin.write(b"\n")
        server.stdin.flush()

    def answer(number):
        while line := server.stdout.readline():
            # Nothing but the protocol.
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == number:
                return message
        raise AssertionError("the server has ended")

    send(b"this is no JSON")
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client})
    assert answer(1)["result"]["serverInfo"]["name"] == "wavegate"
    send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    tool = {"name": "who_am_i", "arguments": {}}
    lines = [
        b"{", b"[]", b"null", b"\xff\xfe", b'{"jsonrpc": "2.0"}', b'{"jsonrpc": "1.0", "id": 5, "method": "ping"}', b"[" * 100_000,
        b'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "tools/call"}', b'{"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": 7}',
        b'{"jsonrpc": "2.0", "id": 7, "method": "no/such", "params": {}}', b"x" * (40 * 1024 * 1024),
        b'{"jsonrpc": "2.0", "id": 8, "method": "' + b"x" * (33 * 1024 * 1024) + b'"}',
    ]
    for number, line in enumerate(lines, 100):
        send(line)
        send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": tool})
        assert answer(number)["result"]["structuredContent"]["name"] == "orders-bot", line[:80]
    for number, arguments in enumerate([{"rollout": 5}, {"surplus": "x"}, {"rollout": "r", "wait_seconds": -1}, {}], 200):
        send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "follow_rollout", "arguments": arguments}})
        result = answer(number)["result"]
        assert result["isError"] and result["structuredContent"]["code"] == "bad_input", result
    server.stdin.close()
    assert server.wait(20) == 0


async def http(url):
    token = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    who = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "who_am_i", "arguments": {}}}
    async with httpx2.AsyncClient(timeout=60) as plain:
        for body in [initialize, who]:
            answer = await plain.post(url, json=body, headers=accept)
            assert answer.status_code == 401 and answer.json()["code"] == "unauthenticated", answer.text
            wrong = await plain.post(url, json=body, headers={**accept, "Authorization": "Bearer wrong"})
            assert wrong.status_code == 401, wrong.text
        answer = await plain.post(url, json=initialize, headers={**accept, **token})
        assert answer.status_code == 200 and "mcp-session-id" not in answer.headers, answer.headers
        # A session's name is no credential: whoever shows one is who their token says, and nobody without.
        session = {"mcp-session-id": "11111111-1111-4111-8111-111111111111"}
        other = {"Authorization": f"Bearer {os.environ['OTHER']}"}
        answer = await plain.post(url, json=who, headers={**accept, **other, **session})
        assert answer.json()["result"]["structuredContent"]["name"] == "carts-bot", answer.text
        assert (await plain.post(url, json=who, headers={**accept, **session})).status_code == 401
        for method in ["GET", "DELETE"]:
            assert (await plain.request(method, url, headers={**accept, **token, **session})).status_code == 405
        bodies = [b"{", b"[]", b"null", b"\xff", b'{"jsonrpc": "2.0"}', b"[" * 100_000, b'{"jsonrpc": "2.0", "id": 1, "method": 5}']
        for body in bodies:
            answer = await plain.post(url, content=body, headers={**accept, **token})
            assert 400 <= answer.status_code < 500, (body[:40], answer.status_code, answer.text[:200])
        # A connection of its own: the server closes it, perhaps before all is sent.
        async with httpx2.AsyncClient(timeout=60) as heavy:
            with contextlib.suppress(httpx2.NetworkError, httpx2.RemoteProtocolError):
                answer = await heavy.post(url, content=b"x" * (17 * 1024 * 1024), headers={**accept, **token})
                assert answer.status_code == 413, answer.status_code
        answer = await plain.post(url, json=who, headers={**accept, **token})
        assert answer.json()["result"]["structuredContent"]["name"] == "orders-bot"


def main():
    part, *rest = sys.argv[1:]
    if part == "noise":
        noise()
    else:
        asyncio.run({"story": story, "people": people, "names": names, "http": http}[part](*rest))
    print("ok", flush=True)


main()
