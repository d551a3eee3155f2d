"""An adapter that speaks the real protocol with the standard library only, and misbehaves on request.

How it starts stands in `script.json` in its working directory: {"start": …, "generation": …, "acts": {…}}; what a call
does, in the first item of the call's guide_info (0.3) or in user_params (0.0): {"do": …}, unless `acts` says otherwise.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OUT = os.dup(1)


def write(payload: bytes) -> None:
    while payload:
        payload = payload[os.write(OUT, payload) :]


def frame(message: dict) -> bytes:
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body


def send(kind: str, **fields) -> None:
    write(frame({"type": kind, "timestamp_ms": int(time.time() * 1000), **fields}))


def read_exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = os.read(0, count - len(data))
        if not chunk:
            sys.exit(0)
        data += chunk
    return data


def read() -> dict:
    return json.loads(read_exactly(int.from_bytes(read_exactly(4), "big")))


def sleeper(**options) -> int:
    return subprocess.Popen(["sleep", "611"], **options).pid


def start(script: dict) -> None:  # noqa: C901, PLR0912  (a list of misdeeds)
    how = script.get("start", "")
    if how == "no_hello":
        time.sleep(600)
    if how == "exit_before_hello":
        sys.stderr.write("licence file missing\n")
        sys.exit(7)
    if how == "junk":
        write(b"Loading model... done\n" * 3)
        time.sleep(600)
    if how == "absurd_length":
        write(b"\xff\xff\xff\xff" + b"x" * 100000)
        time.sleep(600)
    if how == "flood_stdout":
        while True:
            write(b"\0\xff\xff\xff" + b"{" * 65536)
    if how == "half_hello":
        write(frame({"type": "hello"})[:9])
        sys.exit(0)
    generation = script.get("generation", "0.3")
    send(
        "hello",
        sdk_version="0.3.2" if generation == "0.3" else "0.0.7",
        capabilities=["ping", "call", "shutdown", "execute" if generation == "0.3" else "info"],
    )
    if how == "exit_after_hello":
        sys.stderr.write("sys.exit at import\n")
        sys.exit(0)
    if how == "error_after_hello":
        send("error", request_id=None, status="ERROR", message="No module named 'cv2'", error_code="1000")
        sys.exit(0)
    if how == "no_space_in_its_words":
        words = "[Errno 28] No space left on device: '/models'"
        send("error", request_id=None, status="ERROR", message=words, error_code="1000")
        sys.exit(0)
    if how == "no_pong":
        sleeper()
        time.sleep(600)
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "flood_stderr":
        os.write(2, b"y" * 3_000_000 + b"\n")
    if how == "slow":
        time.sleep(0.5)


def act(request: dict, given: dict) -> None:  # noqa: C901, PLR0912, PLR0915  (a list of misdeeds)
    """Do what a call asks for, and answer it."""
    request_id, do = request["request_id"], given.get("do", "")
    data = {"os_pid": os.getpid(), "given": given, **request["data"]}
    if "said" in given:
        data["result_status"] = given["said"]
    if do == "crash":
        os._exit(3)
    elif do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif do == "hang":
        sleeper()
        time.sleep(600)
    elif do == "spin":
        while True:
            pass
    elif do == "sleep":
        time.sleep(given["seconds"])
    elif do == "wait":
        while not Path(given["path"]).exists():
            time.sleep(0.005)
    elif do == "deep":
        send("result", request_id=request_id, status="OK", message="", data=json.loads(given["text"]))
        return
    elif do == "junk":
        write(b"Traceback (most recent call last):\n")
        time.sleep(600)
    elif do == "half":
        whole = frame({"type": "result", "request_id": request_id, "status": "OK", "data": {}})
        write(whole[: len(whole) // 2])
        os._exit(1)
    elif do == "huge":
        write((50_000_000).to_bytes(4, "big"))
        chunk = b" " * 65536
        while True:
            write(chunk)
    elif do == "large":
        data["filler"] = "z" * given["bytes"]
    elif do == "wrong_id":
        send("result", request_id="somebody-else", status="OK", message="", data={"wrong": True})
    elif do == "stderr":
        os.write(2, b"e" * given["bytes"])
    elif do == "grandchild":
        data["child"] = sleeper()
        data["escaped"] = sleeper(start_new_session=True)
    elif do == "orphan_and_exit":
        sleeper(start_new_session=True, pass_fds=(OUT,))
        os._exit(5)
    elif do == "nan":
        data["score"] = float("nan")
    elif do == "error":
        send("error", request_id=request_id, status="ERROR", message=given["message"], error_code=given["code"])
        return
    elif do == "image":
        path = Path(os.environ["PROC_SHM_DIR"], request["data"]["cur_image_shm_id"] + ".npy")
        data["npy"] = list(path.read_bytes()[:4096])
    elif do == "read_stdin":
        os.read(0, 65536)
    elif do == "hog":
        if os.fork() == 0:
            filler = bytearray(given["bytes"])
            filler[::4096] = b"x" * len(filler[::4096])
            time.sleep(600)
    elif do == "burn":
        if os.fork() == 0:
            while True:
                pass
    elif do == "judge":
        data["result_status"] = given["verdict"]
    elif do == "environment":
        data["environment"] = dict(os.environ)
    send("result", request_id=request_id, status=given.get("status", "OK"), message=given.get("message", ""), data=data)


def main() -> None:
    script = json.loads(Path("script.json").read_text())
    start(script)
    while True:
        request = read()
        kind = request["type"]
        if kind == "ping":
            send("pong", request_id=request["request_id"], status="OK")
        elif kind == "shutdown":
            if script.get("start") != "stubborn":
                send("shutdown", status="OK")
                return
        elif kind == "call":
            data = request["data"]
            guide = data.get("guide_info") or [{}]
            if script.get("start") == "broken":
                send("error", request_id=request["request_id"], status="ERROR", message="broken", error_code="1009")
                continue
            given = data["user_params"] if "phase" in data else guide[0]
            act(request, {**given, **script.get("acts", {})})


if __name__ == "__main__":
    main()
