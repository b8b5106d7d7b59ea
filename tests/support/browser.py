"""A headless Chromium that tests drive by its own protocol over two pipes: no server, no library."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


class Browser:
    """One tab.

    Args:
        folder: for the profile and downloads.
        size: of the window, CSS pixels.
        dark: what the system prefers.
    """

    def __init__(self, folder, *, size=(1280, 900), dark=False, options=()):
        self.folder, self.complaints, self.requests = folder, [], []  # without data: URIs
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *options,
                   f"--user-data-dir={folder}/profile", "--remote-debugging-pipe", "--no-first-run"]  # fmt: skip

        def connect():  # the protocol is on descriptors 3 and 4
            ends = os.dup(to_read), os.dup(to_write)
            os.dup2(os.dup(ends[0]), 3)
            os.dup2(os.dup(ends[1]), 4)

        self.process = subprocess.Popen(
            command, close_fds=False, preexec_fn=connect, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self._session = b"", 0, None
        context = self.ask("Target.createBrowserContext")["browserContextId"]  # its localStorage never touches a disk
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for name in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{name}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[theme])
        self.ask(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), browserContextId=context
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):
            os.close(self._write)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()
        os.close(self._read)

    def ask(self, method, **params):
        """The result of a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]
            self._note(found)

    def open(self, file):
        """Open a file and wait until it is loaded."""
        self.ask("Page.navigate", url=file.as_uri())
        while True:
            found = self._next()
            self._note(found)
            if found.get("method") == "Page.loadEventFired":
                break
        self.wait(f"document.readyState === 'complete' && location.href === '{file.as_uri()}'")

    def keeps_storage(self):
        """Whether ``localStorage`` outlives a reload of a page without scripts: not where its service has no memory."""
        page = self.folder / "storage.html"
        page.write_text("<html></html>")
        self.open(page)
        self.run("localStorage.setItem('kept', 'yes')")
        time.sleep(1)
        self.open(page)
        return self.run("localStorage.getItem('kept')") == "yes"

    def run(self, script):
        """The value of an expression, promises included."""
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, script):
        """The value of an expression as soon as it is true."""
        for _ in range(1200):
            if value := self.run(script):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def press(self, *keys):
        """Type keys on the page."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def processes(self):
        """``id`` and ``type`` of the processes of the browser."""
        session, self._session = self._session, None
        try:
            return self.ask("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            self._session = session

    def screenshot(self, path, *, whole=False):
        """Write what is on the screen, or the whole page, as PNG."""
        path.write_bytes(b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def downloaded(self, name):
        """The path of a finished download."""
        for _ in range(1200):
            if (self.folder / name).exists() and not list(self.folder.glob("*.crdownload")):
                return self.folder / name
            time.sleep(0.05)
        raise AssertionError(f"{name} was not downloaded")

    def _note(self, found):
        method, params = found.get("method"), found.get("params", {})
        is_told = method == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error")
        if is_told or method == "Runtime.exceptionThrown":
            self.complaints.append(params)
        if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])

    def _next(self):
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], 60)[0], "the browser does not answer"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)
