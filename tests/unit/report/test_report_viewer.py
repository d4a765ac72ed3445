"""The page's viewer acts in a real browser: slices, windows, modes, keyboard."""

import json
import re
import resource

import numpy as np
import pytest

from med_stylesr.report.enhance_report import write_enhance_report
from med_stylesr.volume import CTVolume

PROBE = """<script>
const find = (id) => document.getElementById(id);
const lung = () => document.querySelector("button[data-window=lung]");
const wait = () => new Promise((r) => setTimeout(r, 300));
const mean = (id) => {
  const c = find(id), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let s = 0;
  for (let i = 0; i < d.length; i += 4) s += d[i];
  return s / (d.length / 4);
};
const send = (id, value, event) => { find(id).value = value; find(id).dispatchEvent(new Event(event)); };
const key = (k) => find("panels").dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true }));
const shown = () => find("viewer").dataset.shown;
(async () => {
  const out = {};
  await wait(); out.first = shown(); out.soft = mean("canvas-before");
  lung().click();
  await wait(); out.lung = mean("canvas-before"); out.pressed = lung().getAttribute("aria-pressed");
  send("slice", 0, "input"); await wait(); out.slider = shown();
  key("ArrowDown"); await wait(); out.key = shown();
  key("End"); await wait(); out.end = shown();
  send("mode", "curtain", "change"); await wait(); out.hidden = find("canvas-after").parentElement.hidden;
  send("mode", "side", "change"); await wait(); out.status = find("status").textContent;
  out.difference = mean("canvas-difference");
  const tiles = () => [...document.querySelectorAll("#montage button")];
  const tile = (i) => {
    const c = tiles()[i].firstChild, d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    return d.reduce((a, b) => a + b, 0) / d.length;
  };
  out.tiles = tiles().length;
  tiles()[2].click(); await wait(); out.tile = shown(); out.current = tiles()[2].getAttribute("aria-current");
  await wait(); out.montageLung = tile(2);
  document.querySelector("button[data-window=bone]").click(); await wait(); await wait(); out.montageBone = tile(2);
  const result = document.createElement("pre");
  result.id = "probe"; result.textContent = JSON.stringify(out);
  document.body.append(result);
})();
</script></body>"""


@pytest.mark.slow
def test_slider_windows_keyboard_and_modes_act(chest, tmp_path, browse):
    _, low, half = chest
    page = tmp_path / "report.html"
    write_enhance_report(page, low, half, {})
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    out = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', browse(page)).group(1))
    assert (out["first"], out["slider"], out["key"], out["end"]) == ("7", "1", "2", "12")
    assert out["lung"] > out["soft"] + 20
    assert out["pressed"] == "true"
    assert out["hidden"] is True
    assert "Slice 12 of 12" in out["status"]
    assert out["difference"] > 200
    assert (out["tiles"], out["tile"], out["current"]) == (12, "3", "true")
    assert out["montageLung"] > out["montageBone"] + 20


@pytest.mark.slow
def test_a_hundred_slices_load_within_three_seconds(tmp_path, browse):
    rng = np.random.default_rng(0)
    plane = np.where(np.hypot(*np.mgrid[-256:256, -256:256]) < 220, 40, -1000)
    hu = (plane + rng.normal(0, 20, (100, 512, 512))).astype(np.int16)
    volume = CTVolume(hu, np.diag([0.7, 0.7, 1, 1]))
    page = tmp_path / "report.html"
    write_enhance_report(page, volume, volume, {}, max_slices=100)
    # The time to print the page's 20 MB again is not loading.
    lean = "<script>setTimeout(() => document.getElementById('viewer-data').remove(), 2000);</script></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", lean), encoding="utf-8")
    empty = tmp_path / "empty.html"
    empty.write_text("<!doctype html><title>x</title>", encoding="utf-8")
    seconds = []
    for each in (empty, page):
        start = children_cpu_seconds()
        dom = browse(each)
        seconds.append(children_cpu_seconds() - start)
    assert 'data-shown="' in dom
    # Processor time, which a busy machine does not stretch; what an empty page takes is the browser's own start.
    assert seconds[1] - seconds[0] < 3


def children_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
