for (const drawing of document.querySelectorAll("svg.curves[data-span]")) {
  const [x0, x1] = drawing.dataset.span.split(" ").map(Number);
  const [y0, y1] = drawing.dataset.span.split(" ").slice(2).map(Number);
  const [left, , width, height] = drawing.dataset.box.split(" ").map(Number);
  const lines = [...drawing.querySelectorAll("path.line")].map((path) => ({
    name: path.dataset.name,
    points: [...path.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)]
      .map((match) => [Number(match[1]), Number(match[2])]),
  }));
  const figure = drawing.parentElement;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  figure.append(tip);
  drawing.addEventListener("pointerleave", () => { tip.hidden = true; });
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const scale = drawing.viewBox.baseVal.width / box.width;
    const across = (event.clientX - box.left) * scale - left;
    tip.hidden = across < 0 || across > width;
    const iteration = Math.round(x0 + (across / width) * (x1 - x0));
    const said = lines.filter((line) => line.points.length).map((line) => {
      const near = line.points.reduce((best, point) =>
        Math.abs(point[0] - across) < Math.abs(best[0] - across) ? point : best);
      return `${line.name}  ${Number((y1 - (near[1] / height) * (y1 - y0)).toPrecision(3))}`;
    });
    tip.textContent = [iteration.toLocaleString("en"), ...said].join("\n");
    const x = event.clientX - box.left;
    const beyond = x + 20 + tip.offsetWidth > box.width;
    tip.style.left = `${Math.max(0, beyond ? x - tip.offsetWidth - 14 : x + 16)}px`;
    tip.style.top = `${event.clientY - box.top + 12}px`;
  });
}
