// The chart of one metric. Without this file the drawing that the page came with stays.
const box = document.getElementById("chart");
if (box) {
  const chart = JSON.parse(box.dataset.chart);
  const times = chart.points.map(([at]) => at / 1e3), values = chart.points.map(([, value]) => value);
  const length = chart.end - chart.start;
  let plot;

  const colour = (name) => {
    const probe = document.createElement("span");
    probe.className = `probe-${name}`;
    box.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const pad = (part) => String(part).padStart(2, "0");
  const clock = (t) => { const d = new Date(t * 1e3); return `${pad(d.getHours())}:${pad(d.getMinutes())}`; };
  const shown = () => Math.min(length, chart.end - times[0] * 1e3);
  const day = (t) => new Date(t * 1e3).toLocaleDateString(undefined, { day: "numeric", month: "short" });
  const label = (t) => (shown() > 864e5 ? `${day(t)} ${clock(t)}` : shown() < 6e5 ? `${clock(t)}:${pad(new Date(t * 1e3).getSeconds())}` : clock(t));
  const size = () => ({ width: box.clientWidth, height: 236 });
  const range = (_, low, high) => {
    if (low == null) return [0, 1];
    const near = chart.limit != null && Math.abs(chart.limit - (low + high) / 2) < 4 * Math.max(high - low, Math.abs(chart.limit) / 10);
    const least = near ? Math.min(low, chart.limit) : low, most = near ? Math.max(high, chart.limit) : high;
    const room = (most - least || Math.abs(most) || 1) * 0.08;
    return [least - room, most + room];
  };

  function limit(u) {
    if (chart.limit == null) return;
    const y = u.valToPos(chart.limit, "y", true), { ctx } = u, { left, top, width, height } = u.bbox, crit = colour("crit");
    if (y < top || y > top + height) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = crit;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.fillText(`limit ${chart.limit}`, left + 6 * devicePixelRatio, y - 3 * devicePixelRatio);
    ctx.restore();
  }

  function draw() {
    const accent = colour("accent"), text = colour("text"), line = colour("line");
    const axis = { stroke: text, font: `12px ${getComputedStyle(document.body).fontFamily}`, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    plot?.destroy();
    box.replaceChildren();
    plot = new uPlot({
      ...size(),
      padding: [8, 8, 0, 0],
      cursor: { points: { size: 6 } },
      scales: { x: { range: () => [Math.max((chart.end - length) / 1e3, times[0]), Math.max(chart.end / 1e3, times[0] + 1)] }, y: { range } },
      axes: [
        { ...axis, size: 30, space: () => (shown() > 864e5 ? 96 : 66), values: (_, ticks) => ticks.map(label) },
        { ...axis, size: 52 },
      ],
      series: [
        { label: "Time", value: (_, t) => (t == null ? "–" : `${shown() > 864e5 ? `${day(t)} ` : ""}${clock(t)}:${pad(new Date(t * 1e3).getSeconds())}`) },
        { label: `${chart.label} ${chart.unit}`.trim(), stroke: accent, width: 1.6, fill: accent.replace("rgb(", "rgba(").replace(")", ", .08)"), points: { show: times.length < 40, size: 4 }, value: (_, v) => (v == null ? "–" : +v.toPrecision(5)) },
      ],
      hooks: { draw: [limit] },
    }, [times, values], box);
  }

  // A live update has morphed the newest reading into the page.
  new MutationObserver(() => {
    const newest = document.getElementById("chart-newest"), at = Number(newest?.dataset.at) / 1e3;
    if (!at || at <= (times.at(-1) ?? 0)) return;
    times.push(at);
    values.push(Number(newest.value));
    chart.end = Math.max(chart.end, at * 1e3);
    while (times[0] * 1e3 < chart.end - length) { times.shift(); values.shift(); }
    plot.setData([times, values]);
  }).observe(document.getElementById("chart-newest"), { attributes: true });

  draw();
  new ResizeObserver(() => { if (Math.abs(plot.width - box.clientWidth) > 1) plot.setSize(size()); }).observe(box);
  addEventListener("theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
