// Playback and seeking.
import { clock } from "./numbers.js";

const by = (id) => document.getElementById(id);

export class Player {
  #audio = by("player");
  #button = by("play");
  #slider = by("spectrogram");
  #held = null;
  #address = null;
  duration = 0;

  constructor(screen, stopped) {
    this.screen = screen;
    const audio = this.#audio;
    this.#button.addEventListener("click", () => (screen.live ? stopped() : this.toggle()));
    for (const kind of ["play", "pause", "ended", "seeked", "emptied"]) audio.addEventListener(kind, () => this.#state());
    audio.addEventListener("error", () => this.#state());

    by("work").addEventListener("pointerdown", (event) => {
      const place = this.ready && event.button === 0 && event.pointerType === "mouse" ? screen.under(event) : null;
      if (!place) return;
      this.#held = place.over;
      place.over.setPointerCapture(event.pointerId);
      this.seek(place.time);
    });
    by("work").addEventListener("pointermove", (event) => {
      if (this.#held) this.seek(screen.under(event, this.#held).time);
    });
    for (const kind of ["pointerup", "pointercancel"]) by("work").addEventListener(kind, () => (this.#held = null));
    // On touch screens only a tap seeks, because a moving finger scrolls.
    by("work").addEventListener("click", (event) => {
      const place = this.ready && event.pointerType !== "mouse" ? screen.under(event) : null;
      if (place) this.seek(place.time);
    });

    document.addEventListener("keydown", (event) => {
      if (!this.ready || event.ctrlKey || event.metaKey || event.altKey) return;
      const free = event.target === document.body || event.target === this.#slider;
      if (event.key === " " && free) this.toggle();
      else if (event.target === this.#slider) {
        const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
        if (step) this.seek(this.#audio.currentTime + step);
        else if (event.key === "Home") this.seek(0);
        else if (event.key === "End") this.seek(this.duration);
        else return;
      } else return;
      event.preventDefault();
    });
  }

  get ready() {
    return this.#address !== null && !this.screen.live;
  }

  // Loads a file with a duration in seconds; null unloads.
  load(blob, duration) {
    const audio = this.#audio;
    audio.pause();
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = blob ? URL.createObjectURL(blob) : null;
    this.duration = duration;
    if (blob) audio.src = this.#address;
    else audio.removeAttribute("src");
    this.#state();
  }

  toggle() {
    // Some files decode but do not play; seeking still works.
    if (this.#audio.paused) this.#audio.play().catch(() => this.#state());
    else this.#audio.pause();
  }

  seek(time) {
    this.#audio.currentTime = Math.max(0, Math.min(this.duration, time));
    this.#state();
  }

  // Shows new values at the play head.
  refresh() {
    this.#follow();
  }

  #state() {
    const audio = this.#audio;
    const playing = !audio.paused && !audio.ended;
    const live = this.screen.live;
    this.#button.dataset.shows = live ? "stop" : playing ? "pause" : "play";
    this.#button.setAttribute("aria-label", live ? "Stop listening" : playing ? "Pause" : "Play");
    this.#button.disabled = !live && (!this.ready || audio.error !== null);
    this.#follow();
    if (playing) requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.#follow();
    if (!this.#audio.paused && !this.#audio.ended) requestAnimationFrame(() => this.#frame());
  }

  #follow() {
    if (!this.ready) return this.screen.head(null);
    const time = Math.min(this.duration, this.#audio.currentTime);
    this.screen.head(time);
    const text = `${clock(time)} / ${clock(this.duration)}`;
    if (by("clock").textContent === text) return;
    by("clock").textContent = text;
    this.#slider.setAttribute("aria-valuemax", Math.round(this.duration));
    this.#slider.setAttribute("aria-valuenow", Math.round(time));
    this.#slider.setAttribute("aria-valuetext", `${clock(time)} of ${clock(this.duration)}`);
  }
}
