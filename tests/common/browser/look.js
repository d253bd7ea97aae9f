// Puts each of `pages` into a frame `width` wide, and writes down what is on it.
const look = (frame) => {
  const inner = frame.contentWindow, doc = inner.document;
  const all = (selector, from = doc) => [...from.querySelectorAll(selector)];
  const style = (element) => inner.getComputedStyle(element);
  all("details").forEach((details) => (details.open = true));

  // WCAG: relative luminance, and the contrast of two colours.
  const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map((c) => c / 255);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    while (element && style(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement;
    return element ? style(element).backgroundColor : "rgb(255, 255, 255)";
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const written = all("body *").filter((e) => hasText(e) && e.getClientRects().length);
  const ink = (element) => (element instanceof inner.SVGElement ? style(element).fill : style(element).color);

  const chart = (svg) => {
    const box = svg.getBoundingClientRect();
    const texts = all("text", svg).map((text) => text.getBoundingClientRect());
    const isIn = (t) => t.left >= box.left - 1 && t.right <= box.right + 1 && t.top >= box.top - 1 && t.bottom <= box.bottom + 1;
    const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top + 4 < b.bottom && b.top + 4 < a.bottom;
    const pairs = texts.flatMap((a, n) => texts.slice(n + 1).map((b) => [a, b]));
    return {
      form: svg.getAttribute("class"),
      label: svg.getAttribute("aria-label"),
      least_text: Math.min(...all("text", svg).map((text) => (parseFloat(style(text).fontSize) * box.width) / svg.viewBox.baseVal.width)),
      clipped: texts.filter((text) => !isIn(text)).length,
      overlapping: pairs.filter(([a, b]) => overlap(a, b)).length,
      shapes: all("polygon, polyline", svg).length,
    };
  };

  return {
    heading: doc.querySelector("h1").textContent,
    scripts: all("script, img, iframe, object, embed").length,
    requests: inner.performance.getEntriesByType("resource").filter((e) => !e.name.startsWith("data:")).length,
    page_width: doc.documentElement.scrollWidth,
    is_dark: luminance(style(doc.body).backgroundColor) < 0.2,
    least_contrast: Math.min(...written.map((e) => contrast(ink(e), behind(e)))),
    numbers: all("[data-pointer]").filter((e) => !e.closest("details, tr[data-report]")).map((e) => ({
      pointer: e.dataset.pointer,
      value: e.getAttribute("value"),
      text: e.textContent,
    })),
    sums: Object.fromEntries(all("[data-sum]").map((e) => [e.dataset.sum, e.getAttribute("value")])),
    charts: all("svg").filter((svg) => svg.getClientRects().length).map(chart),
  };
};

const shown = pages.map((page) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.srcdoc = page;
  frame.onload = () => done(look(frame));
  document.body.append(frame);
}));
Promise.all(shown).then((told) => {
  const safe = JSON.stringify(told).replace(/[<>&]/g, (c) => "\\u00" + c.charCodeAt(0).toString(16));
  document.getElementById("told").textContent = safe;
});
