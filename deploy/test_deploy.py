#!/usr/bin/env python3
"""Checks what is in deploy/ without a container engine or a cluster.

The manifests against the Kubernetes schemas (PyPI kubernetes-validate) and against each other; the Dockerfile with hadolint where it is
installed; the configurations with the server itself; the image's directory as it is put together and run. What needs a program
that is not here says that it is skipped. EMOTION_LLAMA names another program than target/release/emotion-llama.
"""

import contextlib
import copy
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import unittest
import urllib.error
import urllib.request

import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent
ROOT = DEPLOY.parent
MANIFESTS = DEPLOY / "kubernetes"
PROGRAM = pathlib.Path(os.environ.get("EMOTION_LLAMA", ROOT / "target/release/emotion-llama"))
PACK = ROOT / "build/packs/emotion-llama-mini"
# The first with `preStop: sleep` switched on, and the newest that the package has.
VERSIONS = ["1.30.0", kubernetes_validate.latest_version()]


def program(name):
    """A program beside this Python, or of the machine."""
    beside = pathlib.Path(sysconfig.get_path("scripts")) / name
    return str(beside) if beside.exists() else shutil.which(name)


def documents(name):
    return [document for document in yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8")) if document]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        (cls.kustomization,) = documents("kustomization.yaml")
        cls.files = cls.kustomization["resources"]
        cls.all = [document for name in cls.files for document in documents(name)]
        by_kind = {document["kind"]: document for document in cls.all}
        cls.deployment = by_kind["Deployment"]
        cls.by_kind = by_kind
        cls.pod = cls.deployment["spec"]["template"]
        (cls.container,) = cls.pod["spec"]["containers"]
        cls.config = tomllib.loads((MANIFESTS / "emotion-llama.toml").read_text(encoding="utf-8"))

    def test_every_manifest_fits_its_schema(self):
        for version in VERSIONS:
            for document in self.all + documents("secret.example.yaml"):
                with self.subTest(version=version, kind=document["kind"]):
                    kubernetes_validate.validate(document, version, strict=True)

    def test_a_wrong_manifest_does_not(self):
        for change in [
            lambda container: container.update(image=7),
            lambda container: container["securityContext"].update(readOnlyRootFileSystem=True),
            lambda container: container["readinessProbe"].update(httpGet={"path": "/readyz"}),
        ]:
            wrong = copy.deepcopy(self.deployment)
            change(wrong["spec"]["template"]["spec"]["containers"][0])
            with self.assertRaises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)

    def test_the_kustomization_names_every_file_that_is_there(self):
        others = {"kustomization.yaml", "secret.example.yaml"}
        self.assertEqual(set(self.files), {path.name for path in MANIFESTS.glob("*.yaml")} - others)
        for generator in self.kustomization["configMapGenerator"]:
            for name in generator["files"]:
                self.assertTrue((MANIFESTS / name).is_file(), name)
        for document in self.all:
            if document["kind"] != "Namespace":
                self.assertEqual(document["metadata"]["namespace"], self.kustomization["namespace"], document["kind"])

    def test_kustomize_renders_it(self):
        if not program("kubectl"):
            self.skipTest("there is no kubectl; the files were checked one by one")
        with tempfile.TemporaryDirectory() as home:
            rendered = subprocess.run(
                [program("kubectl"), "kustomize", str(MANIFESTS)], capture_output=True, text=True, check=True, env={**os.environ, "HOME": home}
            ).stdout
        rendered = [document for document in yaml.safe_load_all(rendered) if document]
        self.assertEqual(len(rendered), len(self.all) + 1)
        for document in rendered:
            kubernetes_validate.validate(document, VERSIONS[-1], strict=True)

    def test_what_refers_to_the_pods_finds_them(self):
        labels = self.pod["metadata"]["labels"]
        selectors = [
            self.deployment["spec"]["selector"]["matchLabels"],
            self.by_kind["Service"]["spec"]["selector"],
            self.by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            self.by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        ]
        for selector in selectors:
            self.assertLessEqual(selector.items(), labels.items())
        target = self.by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        self.assertEqual((target["kind"], target["name"]), ("Deployment", self.deployment["metadata"]["name"]))
        (port,) = self.container["ports"]
        (service_port,) = self.by_kind["Service"]["spec"]["ports"]
        self.assertEqual(service_port["targetPort"], port["name"])
        backend = self.by_kind["Ingress"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        self.assertEqual(backend, {"name": self.by_kind["Service"]["metadata"]["name"], "port": {"name": service_port["name"]}})

    def test_mounts_and_the_configuration_agree(self):
        volumes = {volume["name"]: volume for volume in self.pod["spec"]["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        self.assertEqual(set(volumes), set(mounts))
        generated = {generator["name"] for generator in self.kustomization["configMapGenerator"]}
        self.assertIn(volumes["config"]["configMap"]["name"], generated)
        secrets = {document["metadata"]["name"]: document["stringData"] for document in documents("secret.example.yaml")}
        keys_file = pathlib.PurePosixPath(self.config["access"]["keys_file"])
        self.assertEqual(str(keys_file.parent), mounts["keys"])
        self.assertIn(keys_file.name, secrets[volumes["keys"]["secret"]["secretName"]])
        self.assertIn(self.by_kind["Ingress"]["spec"]["tls"][0]["secretName"], secrets)
        config_file = pathlib.PurePosixPath(self.container["args"][1])
        self.assertEqual(str(config_file.parent), mounts["config"])
        self.assertEqual(self.config["listen"].get("port", 7889), self.container["ports"][0]["containerPort"])

    def test_a_pod_has_time_to_finish(self):
        spec = self.pod["spec"]
        pause = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(spec["terminationGracePeriodSeconds"], pause + self.config["listen"]["grace_s"] + 2)
        timeout = self.by_kind["Ingress"]["metadata"]["annotations"]["nginx.org/proxy-read-timeout"]
        self.assertGreater(int(timeout.removesuffix("s")), self.config["limits"]["analysis_s"])

    def test_a_pod_may_do_little(self):
        spec, inside = self.pod["spec"], self.container["securityContext"]
        self.assertTrue(spec["securityContext"]["runAsNonRoot"])
        self.assertEqual(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault")
        self.assertTrue(inside["readOnlyRootFilesystem"])
        self.assertFalse(inside["allowPrivilegeEscalation"])
        self.assertEqual(inside["capabilities"], {"drop": ["ALL"]})
        self.assertFalse(spec["automountServiceAccountToken"])
        self.assertEqual(set(self.by_kind["NetworkPolicy"]["spec"]["policyTypes"]), {"Ingress", "Egress"})

    def test_there_are_three(self):
        self.assertEqual(self.deployment["spec"]["replicas"], 3)
        self.assertEqual(self.by_kind["HorizontalPodAutoscaler"]["spec"]["minReplicas"], 3)
        text = (MANIFESTS / "deployment.yaml").read_text(encoding="utf-8")
        self.assertRegex(text, r"# nvidia\.com/gpu: 1")


class Dockerfile(unittest.TestCase):
    def setUp(self):
        self.text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
        joined = re.sub(r"\\\n", " ", "\n".join(line for line in self.text.splitlines() if not line.startswith("#")))
        self.lines = [re.sub(r"\s+", " ", line.strip()) for line in joined.splitlines() if line.strip()]
        self.last = self.lines[max(index for index, line in enumerate(self.lines) if line.startswith("FROM ")) :]

    def test_hadolint_has_nothing_to_say(self):
        if not program("hadolint"):
            self.skipTest("there is no hadolint")
        done = subprocess.run([program("hadolint"), str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_what_is_copied_is_there_and_not_left_out(self):
        ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
        stages = {match[1] for line in self.lines if (match := re.search(r"^FROM \S+ AS (\S+)$", line))}
        for line in self.lines:
            if not line.startswith("COPY "):
                continue
            words = line.split()[1:]
            stage = re.match(r"--from=(\S+)", words[0])
            if stage:
                self.assertIn(stage[1], stages, line)
                continue
            for source in words[:-1]:
                self.assertTrue((ROOT / source).exists(), line)
                self.assertNotIn(source, ignored, line)
        for path in ["tools/setup.sh", "deploy/assemble.sh", "deploy/probe.sh", "packs/mini", "Cargo.lock"]:
            self.assertFalse(any(path == one or path.startswith(f"{one}/") for one in ignored), path)

    def test_it_runs_as_nobody_in_particular(self):
        users = [line.split()[1] for line in self.last if line.startswith("USER ")]
        self.assertEqual(len(users), 1)
        self.assertRegex(users[0], r"^[1-9]\d{3,}:[1-9]\d{3,}$")
        self.assertIn('ENTRYPOINT ["emotion-llama", "serve"]', self.last)
        self.assertTrue(any(line.startswith("HEALTHCHECK ") and 'CMD ["emotion-llama-probe"]' in line for line in self.last))
        self.assertFalse([line for line in self.last if line.startswith(("RUN ", "ADD "))])

    def variables(self):
        (line,) = [line for line in self.last if line.startswith("ENV ")]
        return dict(pair.split("=", 1) for pair in line.split()[1:])

    def test_the_image_answers_from_a_directory_of_its_own(self):
        """The last stage without an engine: its files, its variables, and nothing else of the environment."""
        need_server(self)
        # That of the machine does where it was not built: setup.sh says which.
        built = sorted(ROOT.glob("build/ffmpeg-*/built"))
        ffmpeg = [str(built[-1].parent)] if built else []
        with tempfile.TemporaryDirectory() as scratch:
            out = f"{scratch}/opt"
            subprocess.run(
                ["bash", str(DEPLOY / "assemble.sh"), str(PROGRAM.parent), str(PACK), out, *ffmpeg],
                check=True, capture_output=True, env={**os.environ, "PYTHON": sys.executable},
            )
            for licence in ["LICENSE", "THIRD_PARTY.md", "crates/index.txt"]:
                self.assertTrue(pathlib.Path(out, "share/doc/emotion-llama", licence).is_file(), licence)
            port = free_port()
            tmp = pathlib.Path(scratch, "tmp")
            tmp.mkdir()
            environment = {name: value.replace("/opt/emotion-llama", out) for name, value in self.variables().items()}
            environment |= {"TMPDIR": str(tmp), "EMOTION_LLAMA_LISTEN_PORT": str(port)}
            entry = [f"{out}/bin/emotion-llama", "serve"]
            refused = subprocess.run(entry, env=environment, capture_output=True, text=True, timeout=60)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("--insecure", refused.stderr)
            self.assertNotEqual(subprocess.run([f"{out}/bin/emotion-llama-probe"], env=environment, capture_output=True).returncode, 0)
            environment["EMOTION_LLAMA_ACCESS_KEYS"] = "a-key-for-this-test"
            with running(entry, environment, port) as server:
                for path in [[], [str(port), "/readyz"]]:
                    done = subprocess.run([f"{out}/bin/emotion-llama-probe", *path], env=environment, capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, (path, done.stderr))
                self.assertEqual(status(port, "/v1/models"), 401)
                self.assertEqual(status(port, "/v1/models", "a-key-for-this-test"), 200)
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(30), 0)


class Settings(unittest.TestCase):
    def test_the_server_takes_the_files(self):
        need_server(self)
        for path in [DEPLOY / "emotion-llama.toml", MANIFESTS / "emotion-llama.toml"]:
            environment = {"PATH": os.environ["PATH"], "EMOTION_LLAMA_ACCESS_KEYS_FILE": "/etc/keys.toml"}
            done = subprocess.run([str(PROGRAM), "serve", "--config", str(path), "--print-config"], capture_output=True, text=True, env=environment)
            self.assertEqual(done.returncode, 0, done.stderr)
            printed = tomllib.loads(done.stdout)
            for section, fields in tomllib.loads(path.read_text(encoding="utf-8")).items():
                for field, value in fields.items():
                    if field != "keys_file":
                        self.assertEqual(printed[section][field], value, f"{path.name}: {section}.{field}")

    def test_metrics_that_are_named_are_the_servers(self):
        need_server(self)
        (scaler,) = documents("hpa.yaml")
        name = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
        port = free_port()
        with running([str(PROGRAM), "serve", "--port", str(port), "--pack", str(PACK)], dict(os.environ), port):
            body = json.dumps({"path": str(ROOT / "build/clips/1001_DFA_ANG_XX.flv")}).encode()
            ask = urllib.request.Request(f"http://127.0.0.1:{port}/v1/analyze", data=body, headers={"Content-Type": "application/json"})
            urllib.request.urlopen(ask, timeout=600).close()
            shown = figures(port)
        self.assertRegex(shown, rf"(?m)^{re.escape(name)} 0$")
        page = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (`emotion_llama_.*?) \|", page, re.M)
        named = [re.sub(r"^_", "emotion_llama_", name) for row in rows for name in re.findall(r"`(\w+)(?:\{[\w,]*\})?`", row)]
        self.assertGreater(len(named), 8)
        for metric in named:
            self.assertIn(f"# TYPE {metric} ", shown)

    def test_systemd_reads_the_unit(self):
        if not program("systemd-analyze"):
            self.skipTest("there is no systemd-analyze")
        text = (DEPLOY / "emotion-llama@.service").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as scratch:
            # It wants the programs to be there.
            unit = pathlib.Path(scratch, "emotion-llama@7889.service")
            unit.write_text(text.replace("/opt/emotion-llama/bin/emotion-llama", "/bin/true"), encoding="utf-8")
            done = subprocess.run([program("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if "emotion-llama" in line]
        self.assertEqual((done.returncode, complaints), (0, []))
        stop = int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)[1])
        self.assertGreater(stop, tomllib.loads((DEPLOY / "emotion-llama.toml").read_text())["listen"].get("grace_s", 30) + 2)


class Proxies(unittest.TestCase):
    def test_caddy_reads_its_file(self):
        if not program("caddy"):
            self.skipTest("there is no caddy")
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                [program("caddy"), "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")],
                capture_output=True, text=True, env={**os.environ, "HOME": home},
            )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_events_and_sessions_through_nginx(self):
        """nginx with our file in front of two servers: sessions stay with theirs, events come one by one, figures are not shown."""
        if not program("nginx") or not program("openssl"):
            self.skipTest("there is no nginx")
        need_server(self)
        clip = ROOT / "build/clips/1001_DFA_ANG_XX.flv"
        with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
            ports = [free_port() for _ in range(3)]
            key, certificate = f"{scratch}/privkey.pem", f"{scratch}/fullchain.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"],
                check=True, capture_output=True,
            )
            site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
            for old, new in [
                ("/etc/ssl/emotion-llama", scratch), ("emotion.example.com", "localhost"), ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
                ("listen 443", f"listen 127.0.0.1:{ports[0]}"), (":7891", f":{ports[1]}"), (":7892", f":{ports[2]}"),
            ]:
                self.assertIn(old, site)
                site = site.replace(old, new)
            temporary = "".join(f"{name}_temp_path {scratch}/{name}; " for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
            pathlib.Path(scratch, "nginx.conf").write_text(
                # As root, its workers would be somebody who may not write here.
                f"{'user root; ' if os.geteuid() == 0 else ''}daemon off; pid {scratch}/pid; error_log {scratch}/error.log; events {{}}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n"
            )
            servers = {}
            for port in ports[1:]:
                command = [str(PROGRAM), "serve", "--port", str(port), "--pack", str(PACK), "--threads", "1", "--set", "access.trusted_proxies=127.0.0.1/32"]
                servers[port] = stack.enter_context(running(command, dict(os.environ), port))
            proxy = subprocess.Popen([program("nginx"), "-p", scratch, "-c", f"{scratch}/nginx.conf"], stderr=subprocess.DEVNULL)
            stack.callback(end, proxy)
            url = f"https://localhost:{ports[0]}"
            curl = ["curl", "-sS", "--fail-with-body", "--cacert", certificate, "--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
            self.assertEqual(status_of(curl, f"{url}/metrics"), 403)
            form = ["-F", "request={};type=application/json", "-F", f"media=@{clip};filename=clip.flv"]
            sessions = []
            for _ in range(4):
                opened = json.loads(subprocess.run([*curl, *form, f"{url}/v1/sessions"], check=True, capture_output=True).stdout)
                ask = [*curl, "-H", "content-type: application/json", "-d", '{"task": "emotion"}', f"{url}/v1/sessions/{opened['id']}/ask"]
                self.assertTrue(json.loads(subprocess.run(ask, check=True, capture_output=True).stdout)["emotion"])
                sessions.append(opened["id"])
            form[1] = 'request={"task":"reason"};type=application/json'
            stream = stack.enter_context(subprocess.Popen(
                [*curl, "-N", "-H", "accept: text/event-stream", *form, f"{url}/v1/analyze"], stdout=subprocess.PIPE, text=True
            ))
            seen = [(time.monotonic(), line.strip()) for line in stream.stdout if line.startswith("event:")]
            stream.wait()
            self.assertEqual(seen[-1][1], "event: result")
            self.assertGreater(len(seen), 4)
            # Were they kept back, they would all arrive together.
            print(f"events through nginx: the first {seen[-1][0] - seen[0][0]:.2f} s before the last", file=sys.stderr)
            self.assertGreater(seen[-1][0], seen[0][0] + 0.02)
            # All sessions are on one server. When it has gone, the other one answers, and does not know them.
            (mine,) = [port for port in servers if f"\nemotion_llama_sessions {len(sessions)}\n" in figures(port)]
            end(servers[mine])
            models = subprocess.run([*curl, f"{url}/v1/models"], check=True, capture_output=True).stdout
            self.assertTrue(json.loads(models)["data"])
            self.assertEqual(status_of([*curl, "-X", "DELETE"], f"{url}/v1/sessions/{sessions[0]}"), 404)


def need_server(test):
    if not PROGRAM.exists() or subprocess.run([str(PROGRAM), "serve", "--help"], capture_output=True).returncode:
        test.skipTest(f"{PROGRAM} with `serve` is not built")
    if not PACK.exists():
        test.skipTest(f"{PACK} is not built")


@contextlib.contextmanager
def running(command, environment, port):
    """A server that is ready."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                if server.poll() is not None:
                    break
                with contextlib.suppress(OSError):
                    if status(port, "/readyz") == 200:
                        break
                time.sleep(0.1)
            else:
                raise AssertionError("the server was not ready within a minute")
            if server.poll() is not None:
                log.seek(0)
                raise AssertionError(log.read().decode())
            yield server
        finally:
            end(server)


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def status(port, path, key=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def figures(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return answer.read().decode()


def status_of(curl, url):
    done = subprocess.run([*curl, "-o", os.devnull, "-w", "%{http_code}", url], capture_output=True, text=True)
    return int(done.stdout)


if __name__ == "__main__":
    outcome = unittest.main(exit=False).result
    for test, why in outcome.skipped:
        print(f"SKIPPED {test.id().removeprefix('__main__.')}: {why}")
    sys.exit(not outcome.wasSuccessful())
