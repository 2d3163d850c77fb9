"""The table of the conformance cases."""

import unittest

from tools import test_sdks


class Table(unittest.TestCase):
    def test_lines_of_runners_are_read(self):
        for line, found in [
            ("python embedded live ok", ("python", "embedded", "live", "ok")),
            ("csharp server bad_pack FAILED expected x", ("csharp", "server", "bad_pack", "FAILED")),
            ("go embedded bad_option n/a types", ("go", "embedded", "bad_option", "n/a")),
            ("node server open_info - (not for this mode)", ("node", "server", "open_info", "-")),
        ]:
            self.assertEqual(test_sdks.LINE.match(line).groups(), found)
        for line in ["python embedded live okay", "embedded live ok", "a test embedded live ok"]:
            self.assertIsNone(test_sdks.LINE.match(line))

    def test_a_case_that_did_not_run_is_seen(self):
        rows = test_sdks.table({"go": {("live", "embedded"): "ok", ("live", "server"): "-"}, "java": {}}).splitlines()
        live = next(row.split() for row in rows if row.startswith("live "))
        self.assertEqual(live, ["live", "ok", "/", "-", "skipped"])
        missing = next(row.split() for row in rows if row.startswith("missing_file "))
        self.assertEqual(missing[:4], ["missing_file", "?", "/", "?"])


if __name__ == "__main__":
    unittest.main()
