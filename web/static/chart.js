// The chart of one metric. Without this file the drawing that the page came with stays.
const box = document.getElementById("chart");
if (box) {
  const chart = JSON.parse(box.dataset.chart);
  // Bins begin on the server's hours and days: they are drawn in their middle. Readings have no width.
  const width = chart.bin, day = 864e5, isDaily = width >= day;
  const times = chart.points.map(([at]) => (at + width / 2) / 1e3);
  // Readings have one column, bins three: mean, least, greatest.
  const columns = (width ? [1, 2, 3] : [1]).map((place) => chart.points.map((point) => point[place]));
  const length = chart.end - chart.start;
  let newestCount = chart.newest, plot;

  const colour = (name) => {
    const probe = document.createElement("span");
    probe.className = `probe-${name}`;
    box.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const paler = (found, share) => found.replace("rgb(", "rgba(").replace(")", `, ${share})`);
  const pad = (part) => String(part).padStart(2, "0");
  // Days are those of UTC; everything shorter is told by the clock of whoever looks.
  const zone = isDaily ? { timeZone: "UTC" } : {};
  const clock = (t) => { const d = new Date(t * 1e3); return `${pad(d.getHours())}:${pad(d.getMinutes())}`; };
  const seconds = (t) => `${clock(t)}:${pad(new Date(t * 1e3).getSeconds())}`;
  const dated = (t) => new Date(t * 1e3).toLocaleDateString(undefined, { day: "numeric", month: "short", ...zone });
  const whole = (t) => new Date(t * 1e3).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric", ...zone });
  const month = (t) => new Date(t * 1e3).toLocaleDateString(undefined, { month: "short", year: "numeric", ...zone });
  const shown = () => Math.min(length, chart.end - times[0] * 1e3);
  const tick = (t) => {
    if (shown() > 100 * day) return month(t);
    if (shown() > 3 * day && (isDaily || clock(t) === "00:00")) return dated(t);
    return shown() > day ? `${dated(t)} ${clock(t)}` : shown() < 6e5 ? seconds(t) : clock(t);
  };
  const moment = (t) => {
    if (t == null) return "–";
    if (!width) return `${shown() > day ? `${dated(t)} ` : ""}${seconds(t)}`;
    const begin = t - width / 2e3, end = t + width / 2e3, told = width < 6e4 ? seconds : clock;
    return isDaily ? `${whole(begin)} (UTC)` : `${shown() > day ? `${dated(begin)} ` : ""}${told(begin)}–${told(end)}`;
  };
  const told = (_, v) => (v == null ? "–" : +v.toPrecision(5));
  const size = () => ({ width: box.clientWidth, height: 236 });
  const range = (_, low, high) => {
    if (low == null) return [0, 1];
    const near = chart.limit != null && Math.abs(chart.limit - (low + high) / 2) < 4 * Math.max(high - low, Math.abs(chart.limit) / 10);
    const least = near ? Math.min(low, chart.limit) : low, most = near ? Math.max(high, chart.limit) : high;
    const room = (most - least || Math.abs(most) || 1) * 0.08;
    return [least - room, most + room];
  };
  // What has nothing on either side is no line: it is drawn as a dot, and a bin as a stroke from least to greatest.
  const isAlone = (values, place) => values[place] != null && values[place - 1] == null && values[place + 1] == null;
  const alone = (u, series) => u.data[series].flatMap((_, place) => (isAlone(u.data[series], place) ? [place] : []));

  function limit(u) {
    if (chart.limit == null) return;
    const y = u.valToPos(chart.limit, "y", true), { ctx } = u, { left, top, width: wide, height } = u.bbox, crit = colour("crit");
    if (y < top || y > top + height) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = crit;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + wide, y); ctx.stroke();
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.fillText(`limit ${chart.limit}`, left + 6 * devicePixelRatio, y - 3 * devicePixelRatio);
    ctx.restore();
  }

  function strokes(u) {
    if (!width) return;
    const { ctx } = u;
    ctx.save();
    ctx.strokeStyle = paler(colour("accent"), 0.28);
    ctx.lineWidth = 3 * devicePixelRatio;
    for (const place of alone(u, 1)) {
      const x = u.valToPos(times[place], "x", true);
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, u.valToPos(columns[1][place], "y", true));
      ctx.lineTo(x, u.valToPos(columns[2][place], "y", true));
      ctx.stroke();
    }
    ctx.restore();
  }

  function draw() {
    const accent = colour("accent"), text = colour("text"), line = colour("line");
    const axis = { stroke: text, font: `12px ${getComputedStyle(document.body).fontFamily}`, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const points = { show: true, size: 4, filter: (u, series) => (times.length < 40 ? null : alone(u, series)) };
    const edge = { width: 0, points: { show: false }, value: told }, pale = paler(accent, 0.28);
    const named = `${chart.label} ${chart.unit}`.trim();
    plot?.destroy();
    box.replaceChildren();
    plot = new uPlot({
      ...size(),
      ...(isDaily ? { tzDate: (t) => uPlot.tzDate(new Date(t * 1e3), "UTC") } : {}),
      // The name of a month is long, and may stand at the end.
      padding: [8, shown() > 100 * day ? 26 : 8, 0, 0],
      cursor: { points: { size: 6 } },
      scales: { x: { range: () => [Math.max((chart.end - length) / 1e3, times[0]), Math.max(chart.end / 1e3, times[0] + 1)] }, y: { range } },
      axes: [
        { ...axis, size: 30, space: () => (shown() > day ? 96 : 66), values: (_, ticks) => ticks.map(tick) },
        { ...axis, size: 52 },
      ],
      series: [
        { label: "Time", value: (_, t) => moment(t) },
        { label: width ? `${named}, mean` : named, stroke: accent, width: 1.6, fill: width ? undefined : paler(accent, 0.08), points, value: told },
        ...(width ? [{ ...edge, label: "least" }, { ...edge, label: "greatest" }] : []),
      ],
      bands: width ? [{ series: [3, 2], fill: pale }] : [],
      legend: { markers: { width: 0, fill: (_, series) => (series > 1 ? pale : accent) } },
      hooks: { draw: [strokes, limit] },
    }, [times, ...columns], box);
  }

  const last = () => { const place = columns[0].findLastIndex((value) => value != null); return { place, at: place < 0 ? -Infinity : times[place] * 1e3 - width / 2 }; };

  function add(at, values) {
    const before = last().at;
    if (at - before > chart.longest && before > 0) { times.push((at - 1 + width / 2) / 1e3); columns.forEach((column) => column.push(null)); }
    times.push((at + width / 2) / 1e3);
    columns.forEach((column, place) => column.push(values[place]));
  }

  // A reading goes into the bin it lies in, as one more of those the page came with.
  function take(at, value) {
    if (!width) return add(at, [value]);
    const begin = Math.floor(at / width) * width, { place, at: newest } = last();
    if (begin > newest) { newestCount = 1; return add(begin, [value, value, value]); }
    newestCount += 1;
    columns[0][place] += (value - columns[0][place]) / newestCount;
    columns[1][place] = Math.min(columns[1][place], value);
    columns[2][place] = Math.max(columns[2][place], value);
  }

  let newestAt = Number(document.getElementById("chart-newest")?.dataset.at) || 0;
  // A live update has morphed the newest reading into the page.
  new MutationObserver(() => {
    const newest = document.getElementById("chart-newest"), at = Number(newest?.dataset.at);
    if (!at || at <= newestAt) return;
    newestAt = at;
    take(at, Number(newest.value));
    chart.end = Math.max(chart.end, at + (width ? width - (at % width) : 0));
    while ((times[0] * 1e3) + width / 2 < chart.end - length) { times.shift(); columns.forEach((column) => column.shift()); }
    plot.setData([times, ...columns]);
  }).observe(document.getElementById("chart-newest"), { attributes: true });

  draw();
  new ResizeObserver(() => { if (Math.abs(plot.width - box.clientWidth) > 1) plot.setSize(size()); }).observe(box);
  addEventListener("theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
