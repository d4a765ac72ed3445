"use strict";
(async () => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const volumes = read("volumes"), windows = read("windows"), status = document.getElementById("status");
  try {
    const views = [];
    for (const [index, volume] of volumes.entries()) {
      const view = new niivue.Niivue({ backColor: [0, 0, 0, 1], crosshairWidth: 0.5, isColorbar: !volume.windowed,
        isRadiologicalConvention: true });
      await view.attachTo("view-" + index);
      view.addVolume(await niivue.NVImage.loadFromBase64({ base64: volume.nifti, name: "volume.nii.gz",
        colormap: "gray", cal_min: volume.low, cal_max: volume.high }));
      view.setSliceType(view.sliceTypeAxial);
      views.push(view);
    }
    views.forEach((view, i) => view.broadcastTo(views.filter((_, j) => j !== i)));
    document.getElementById("planes").addEventListener("change", (e) => {
      for (const view of views) view.setSliceType(Number(e.target.value));
    });
    const buttons = [...document.querySelectorAll("button[data-window]")];
    for (const button of buttons) button.addEventListener("click", () => {
      const [low, high] = windows[button.dataset.window];
      volumes.forEach((volume, i) => {
        if (!volume.windowed) return;
        Object.assign(views[i].volumes[0], { cal_min: low, cal_max: high });
        views[i].updateGLVolume();
      });
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      status.textContent = `Window ${button.dataset.window}: ${low} to ${high} HU`;
    });
    status.textContent = "Window soft tissue";
    document.getElementById("views").dataset.ready = String(views.length);
  } catch (error) {
    status.textContent = "This browser cannot show the scans (WebGL 2 is needed): " + error.message;
  }
})();
