"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function fail(what, error) {
    byId("failed").hidden = false;
    byId("failed").append(`${what} cannot be shown (${error}). The figures are in report_figures, too. `);
  }

  // Day and night.

  const night = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : night.matches);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const themed = [];
  const retheme = () => themed.forEach((draw) => draw());
  byId("theme").onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    retheme();
  };
  night.addEventListener("change", retheme);

  // Figures.

  function axis(own, ink, line) {
    return {
      gridcolor: line, linecolor: line, zerolinecolor: ink, zeroline: false, automargin: true, ticks: "outside",
      tickcolor: line, exponentformat: "power", ...own,
    };
  }

  function layoutOf(figure, narrow) {
    const ink = colour("--ink"), line = colour("--line"), paper = colour("--paper");
    const layout = {
      ...figure.layout, paper_bgcolor: paper, plot_bgcolor: paper, font: { color: ink, size: narrow ? 12 : 13 },
      margin: { l: 12, r: 14, t: 34, b: 12, pad: 0 }, uirevision: "kept",
      dragmode: figure.layout.scene ? "turntable" : false,
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 12 } },
      separators: ".", hoverlabel: { bgcolor: colour("--card"), bordercolor: line, font: { color: ink } },
    };
    for (const name of Object.keys(figure.layout).filter((key) => key.includes("axis")))
      layout[name] = axis(figure.layout[name], ink, line);
    if (figure.layout.xaxis2) layout.xaxis2.nticks = narrow ? 3 : 5;
    if (figure.layout.scene) {
      layout.margin = { l: 0, r: 0, t: 0, b: 0 };
      const [across, above] = narrow ? [2.3, 1.5] : [1.4, 1];
      layout.scene = { ...figure.layout.scene, camera: { eye: { x: across, y: across, z: above } } };
      for (const name of ["xaxis", "yaxis", "zaxis"])
        layout.scene[name] = { ...axis(figure.layout.scene[name], ink, line), nticks: 5 };
    } else if (!layout.xaxis) layout.xaxis = axis({}, ink, line);
    return layout;
  }

  function recoloured(data) {
    const ink = colour("--ink");
    const shades = { INK: ink, "#000000": ink, ...(isDark() ? { "#0072b2": "#4ba0d8" } : {}) };
    return data.map((trace) => {
      const changed = { ...trace };
      for (const part of ["line", "marker", "error_y"])
        if (shades[trace[part]?.color]) changed[part] = { ...trace[part], color: shades[trace[part].color] };
      return changed;
    });
  }

  function drawFigure(name, figure) {
    const place = byId(`figure-${name}`);
    let view = 0;
    const draw = () => {
      const layout = layoutOf(figure, place.clientWidth < 560);
      const data = recoloured(figure.data);
      const chosen = figure.views[view];
      if (chosen) {
        data.forEach((trace, k) => (trace.visible = chosen.visible[k]));
        for (const [key, value] of Object.entries(chosen.layout)) {
          const [outer, inner] = key.split(".");
          layout[outer] = { ...layout[outer], [inner]: value };
        }
      }
      // Plotly has a button that uploads a figure; this page sends nothing.
      return Plotly.react(place, data, layout, { responsive: true, displaylogo: false, showSendToCloud: false,
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"], scrollZoom: false });
    };
    const buttons = figure.views.map((each, k) =>
      make("button", { type: "button", textContent: each.label, onclick: () => {
        view = k;
        buttons.forEach((button, other) => button.classList.toggle("on", other === k));
        draw();
      } }));
    buttons[0]?.classList.add("on");
    place.previousElementSibling.append(...buttons);
    themed.push(draw);
    return draw();
  }

  // Figures are drawn when they come near the screen: a page of twenty opens at once.
  function drawWhenNear(figures) {
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) {
        watcher.unobserve(entry.target);
        const name = entry.target.id.slice("figure-".length);
        drawFigure(name, figures[name]);
      }
    }, { rootMargin: "600px" });
    for (const name of Object.keys(figures)) watcher.observe(byId(`figure-${name}`));
    addEventListener("beforeprint", () => Object.keys(figures).forEach((name) => {
      if (!byId(`figure-${name}`).data) drawFigure(name, figures[name]);
    }));
  }

  // Structures. The viewer is written for Jupyter's widgets; this is as much of a widget's model as it asks for.

  class Model {
    constructor(state) {
      this.state = state;
      this.listeners = {};
    }
    get(name) { return this.state[name]; }
    set(name, value) {
      this.state[name] = value;
      for (const listener of this.listeners[`change:${name}`] ?? []) listener();
    }
    on(event, listener) { (this.listeners[event] ??= []).push(listener); }
    save_changes() {}
  }

  // The camera that makes the cell largest. The viewer itself fits the box around the cell, and 10 A more.
  function cameraFor(cell, aspect) {
    const unit = (v) => v.map((x) => x / Math.hypot(...v));
    const dot = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
    const extent = (points, axis) => {
      const along = points.map((point) => dot(point, axis));
      return Math.max(...along) - Math.min(...along);
    };
    const signs = [0, 1, 2, 3, 4, 5, 6, 7].map((k) => [k & 1, (k >> 1) & 1, k >> 2]);
    const corners = signs.map((s) => [0, 1, 2].map((n) => s[0] * cell[n] + s[1] * cell[3 + n] + s[2] * cell[6 + n]));
    const ends = [0, 1, 2].map((n) => [Math.min, Math.max].map((f) => f(...corners.map((corner) => corner[n]))));
    const box = signs.map((s) => s.map((k, n) => ends[n][k]));
    const cameras = [[0.35, 0.25, 1], [1, 0.25, 0.35], [0.8, 0.25, 0.8], [0.8, 0.25, -0.8]].map((direction) => {
      const to = unit(direction), up = unit([0, 1, 0].map((x, n) => x - to[1] * to[n]));
      const right = [up[1] * to[2] - up[2] * to[1], up[2] * to[0] - up[0] * to[2], up[0] * to[1] - up[1] * to[0]];
      const width = (points) => Math.max(extent(points, right), extent(points, up) * aspect);
      const needed = Math.max(extent(corners, right) + 3, (extent(corners, up) + 3) * aspect);
      return { direction, needed, zoom: (width(box) + 10) / needed };
    });
    const { direction, zoom } = cameras.reduce((best, other) => (other.needed < best.needed ? other : best));
    return { direction, zoom };
  }

  const widgetState = (atoms, changes) => ({
    atoms, logLevel: "error", selectedAtomsIndices: [], boundary: [[-0.01, 1.01], [-0.01, 1.01], [-0.01, 1.01]],
    modelStyle: 1, colorBy: "Element", colorType: "JMOL", colorRamp: ["red", "blue"], radiusType: "Covalent",
    materialType: "Standard", atomLabelType: "None", showBondedAtoms: false, showHydrogenBonds: false,
    showOutBoundaryBonds: false, hideLongBonds: true, atomScales: [], modelSticks: [], modelPolyhedras: [],
    volumetricData: { values: [[[]]] }, fermiData: {}, vectorField: {}, showVectorField: true, currentFrame: 0,
    guiConfig: { controls: { enabled: false }, buttons: { enabled: false }, timeline: { enabled: false } },
    instancedMeshPrimitive: [], anyMesh: [], text: [], viewerStyle: { width: "100%", height: "100%" },
    js_task: {}, python_task: {}, speciesSettings: {},
    cellSettings: { showAxes: true, cellColor: 0x8a919b }, bondSettings: {}, isoSettings: {}, fermiSettings: {},
    sliceSettings: {}, phonon: {}, highlightSettings: {}, measurementSettings: {}, animationState: {},
    showAtomLegend: false, continuousUpdate: true, ...changes,
  });

  const atomsOf = (crystal, positions = crystal.positions) => ({
    species: Object.fromEntries(Object.keys(crystal.colours).map((symbol) => [symbol, symbol])),
    symbols: crystal.symbols, cell: crystal.cell, positions, pbc: [true, true, true],
    attributes: { atom: {}, species: {} },
  });

  function showScene(place, render, atoms, changes) {
    // A browser keeps few WebGL contexts: the old scene's is given back.
    place.querySelectorAll("canvas").forEach((canvas) =>
      (canvas.getContext("webgl2") ?? canvas.getContext("webgl"))?.getExtension("WEBGL_lose_context")?.loseContext());
    place.replaceChildren();
    const { cell } = Array.isArray(atoms) ? atoms[0] : atoms;
    const cameraSetting = cameraFor(cell, place.clientWidth / place.clientHeight);
    const model = new Model(widgetState(atoms, { cameraSetting, ...changes }));
    render({ model, el: place });
    place.firstElementChild.style.height = "100%";
    const scene = window.editor.tjs;
    scene.scene.background = null;
    scene.onWindowResize();
    return model;
  }

  const legend = (crystal) => Object.entries(crystal.colours).map(([symbol, shade]) => {
    const dot = make("span", { className: "dot" });
    dot.style.background = shade;
    return make("span", {}, dot, symbol);
  });

  function choice(label, names, onchange) {
    const select = make("select", { onchange: () => onchange(Number(select.value)) },
      ...names.map((name, k) => make("option", { value: k, textContent: name })));
    return make("label", {}, label, select);
  }

  function viewStructures(place, render, structures) {
    const scene = make("div", { className: "scene" }), bar = make("div", { className: "bar" });
    place.append(bar, scene);
    let whole = true, shown = 0;
    const draw = () => showScene(scene, render, atomsOf(structures[shown]), { showBondedAtoms: whole });
    const bonded = make("input", { type: "checkbox", checked: true, onchange: () => {
      whole = bonded.checked;
      draw();
    } });
    bonded.style.width = "auto";
    if (structures.length > 1)
      bar.append(choice("", structures.map((each) => each.label), (k) => { shown = k; draw(); }));
    bar.append(make("label", {}, bonded, "bonds across the cell's faces"), ...legend(structures[0]));
    draw();
  }

  function repeated(crystal, mode) {
    const [a, b, c] = [0, 1, 2].map((k) => crystal.cell.slice(3 * k, 3 * k + 3));
    const [na, nb, nc] = mode.repeat;
    const big = { ...crystal, symbols: [], positions: [], cell: [...a.map((x) => na * x), ...b.map((x) => nb * x),
      ...c.map((x) => nc * x)] };
    const real = [], imaginary = [];
    for (let i = 0; i < na; i++) for (let j = 0; j < nb; j++) for (let k = 0; k < nc; k++) {
      const phase = 2 * Math.PI * (mode.q[0] * i + mode.q[1] * j + mode.q[2] * k);
      const [cos, sin] = [Math.cos(phase), Math.sin(phase)];
      crystal.positions.forEach((position, atom) => {
        big.symbols.push(crystal.symbols[atom]);
        big.positions.push(position.map((x, n) => x + i * a[n] + j * b[n] + k * c[n]));
        real.push(mode.real[atom].map((x, n) => x * cos - mode.imaginary[atom][n] * sin));
        imaginary.push(mode.real[atom].map((x, n) => x * sin + mode.imaginary[atom][n] * cos));
      });
    }
    return { big, real, imaginary };
  }

  const FRAMES = 24;

  function viewModes(place, render, crystal, modes) {
    const scene = make("div", { className: "scene" }), bar = make("div", { className: "bar" });
    place.append(bar, scene);
    let shown = 0, amplitude = 0.5, near = false, model;
    let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const draw = () => {
      const { big, real, imaginary } = repeated(crystal, modes[shown]);
      const frames = Array.from({ length: FRAMES }, (_, frame) => {
        const [cos, sin] = [Math.cos, Math.sin].map((f) => amplitude * f((2 * Math.PI * (frame + FRAMES / 4)) / FRAMES));
        return atomsOf(big, big.positions.map((position, atom) =>
          position.map((x, n) => x + real[atom][n] * cos + imaginary[atom][n] * sin)));
      });
      const moving = real.map((vector, atom) => Math.hypot(...vector) > 0.05 && atom).filter((atom) => atom !== false);
      model = showScene(scene, render, frames, { vectorField: { mode: {
        origins: moving.map((atom) => big.positions[atom]),
        vectors: moving.map((atom) => real[atom].map((x) => 2 * x)), color: "#d55e00", radius: 0.06,
      } } });
    };
    const size = make("input", { type: "range", min: 0.1, max: 1.5, step: 0.1, value: amplitude, onchange: () => {
      amplitude = Number(size.value);
      draw();
    } });
    const button = make("button", { type: "button", textContent: playing ? "Pause" : "Play", onclick: () => {
      playing = !playing;
      button.textContent = playing ? "Pause" : "Play";
    } });
    bar.append(choice("", modes.map((each) => each.label), (k) => { shown = k; draw(); }), button,
      make("label", {}, "amplitude", size), ...legend(crystal));
    draw();
    new IntersectionObserver(([entry]) => (near = entry.isIntersecting)).observe(scene);
    const step = (now) => {
      const frame = Math.floor(now / 60) % FRAMES;
      if (playing && near && frame !== model.get("currentFrame")) model.set("currentFrame", frame);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  // All of it.

  document.querySelectorAll("[data-copies]").forEach((button) => (button.onclick = async () => {
    const source = byId(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
  }));

  (async () => {
    const data = JSON.parse(await unpack("packed-data"));
    try {
      document.head.append(make("script", { textContent: await unpack("packed-plotly") }));
      drawWhenNear(data.figures);
    } catch (error) {
      fail("Figures", error);
    }
    try {
      const address = URL.createObjectURL(new Blob([await unpack("packed-viewer")], { type: "text/javascript" }));
      const { render } = (await import(address)).default;
      if (data.structures) viewStructures(byId("structure-viewer"), render, data.structures);
      if (data.modes) viewModes(byId("modes-viewer"), render, data.crystal, data.modes);
    } catch (error) {
      fail("The structure", error);
    }
    root.dataset.ready = "yes";
  })().catch((error) => fail("Figures", error));
})();
