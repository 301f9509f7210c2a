"use strict";
(function () {
  if (!window.Plotly) return;
  document.documentElement.classList.add("js");
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const TOOL_BAR = 30; // pixels
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const visible = (black) => (dark.matches && black === "#000000" ? "#ffffff" : black);
  function layoutOf(figure) {
    const layout = structuredClone(figure.layout);
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.modebar = { bgcolor: colour("--plot"), color: colour("--soft"), activecolor: colour("--ink") };
    layout.font = { color: colour("--ink"), family: "inherit", size: 13 };
    for (const axis of ["xaxis", "yaxis"]) {
      Object.assign(layout[axis], { gridcolor: colour("--line"), linecolor: colour("--soft"), zerolinecolor: colour("--soft") });
    }
    if (layout.polar) {
      layout.polar.bgcolor = "rgba(0,0,0,0)";
      for (const axis of ["radialaxis", "angularaxis"]) {
        Object.assign(layout.polar[axis], { gridcolor: colour("--line"), linecolor: colour("--soft") });
      }
    }
    if (window.innerWidth < 640) {
      layout.font.size = 10;
      layout.margin = { l: 4, r: 4, t: 4, b: 4 };
      const title = layout.xaxis.title;
      if (layout.yaxis.ticktext && title && title.text) {
        // Beside long words the axis is short: its title ends where the figure ends, else it would be cut.
        const place = { xref: "paper", x: 1, xanchor: "right", yref: "paper", y: 0, yanchor: "top", yshift: -20 };
        layout.annotations = [...(layout.annotations || []), { text: title.text, showarrow: false, font: { size: 12 }, ...place }];
        layout.margin.b = 44;
        title.text = "";
      }
    }
    // The tool bar, which appears on hover, has a strip of its own above the data.
    layout.height += TOOL_BAR - layout.margin.t;
    layout.margin.t = TOOL_BAR;
    return layout;
  }
  function dataOf(figure) {
    return structuredClone(figure.data).map((trace) => {
      for (const part of [trace.marker, trace.line, trace.error_x, trace.error_y]) {
        if (part && part.color) part.color = visible(part.color);
      }
      return trace;
    });
  }
  function draw(element) {
    const figure = figures[element.dataset.figure];
    const config = { responsive: true, displaylogo: false, typesetMath: false, modeBarButtonsToRemove: ["lasso2d", "select2d"], scrollZoom: false };
    const layout = layoutOf(figure);
    element.style.height = layout.height + "px";
    return Plotly.react(element, dataOf(figure), layout, config);
  }
  // The texts of figures are escaped for plotly; as text content they must not be.
  const plain = (text) => text.replace(/<br>/g, "; ").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  const plots = [...document.querySelectorAll(".plot")];
  for (const element of plots) element.style.height = layoutOf(figures[element.dataset.figure]).height + "px";
  function show(element) {
    draw(element);
    const said = element.parentElement.querySelector(".picked");
    element.on("plotly_click", (event) => {
      const text = event.points[0].text;
      if (text) said.textContent = plain(text);
    });
  }
  // One after the other: of a page with many figures the text can be read and scrolled meanwhile.
  (function showFrom(place) {
    if (place === plots.length) return;
    show(plots[place]);
    setTimeout(showFrom, 0, place + 1);
  })(0);
  dark.addEventListener("change", () => plots.forEach(draw));
  const details = [...document.querySelectorAll("details")];
  window.addEventListener("beforeprint", () => details.forEach((each) => { each.dataset.was = each.open; each.open = true; }));
  window.addEventListener("afterprint", () => details.forEach((each) => { each.open = each.dataset.was === "true"; }));
})();
