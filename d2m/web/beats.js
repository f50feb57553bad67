// Draws the beats over the waveform and corrects them, all in the browser; only "again" asks the server.
// Gradio runs this once with `element`, `props` (props.value: see d2m/web/beats.py), `trigger` and `watch`.
// The arithmetic on beats is that of BeatGrid in d2m/rhythm/grid.py.
const LOWEST_BPM = 40, HIGHEST_BPM = 240, FEWEST_TAPS = 4, LONGEST_PAUSE_S = 2, BOUNCE_S = 0.15, AHEAD_S = 0.15;
const part = (name) => element.querySelector(`[data-d2m=${name}]`);
const player = () => document.querySelector("#d2m-video video");
const isPlaying = () => Boolean(player()) && !player().paused && !player().ended;
const hint = (text) => { part("hint").textContent = text; };
const TAP_HINT = "Tap the button or the space bar to the beat while it plays.";

let shown = null;       // what the server sent
let base = [];          // beats in seconds, from before 0 to after the end
let isShifted = false;  // by half a beat from `base`
let taps = [];          // the player's times

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const steps = (beats) => beats.slice(1).map((time, at) => time - beats[at]);
const bpmOf = (beats) => 60 / median(steps(beats));
const isTempo = (bpm) => bpm >= LOWEST_BPM && bpm <= HIGHEST_BPM;
const halfway = (beats) => beats.slice(1).map((time, at) => (time + beats[at]) / 2);

function covering(beats) {
  const usual = (part) => Math.min(Math.max(median(steps(part)), 60 / HIGHEST_BPM), 60 / LOWEST_BPM);
  const first = usual(beats.slice(0, 9)), last = usual(beats.slice(-9)), all = [...beats];
  while (all[0] > 0) all.unshift(all[0] - first);
  while (all[all.length - 1] < shown.seconds) all.push(all[all.length - 1] + last);
  return all;
}
const doubled = (beats) => beats.flatMap((time, at) => (at ? [(time + beats[at - 1]) / 2, time] : [time]));
const halved = (beats) => beats.filter((_, at) => at % 2 === 0);
const regular = (bpm, through_s) => covering([through_s, through_s + 60 / bpm]);
const current = () => (isShifted ? covering(halfway(base)) : base);

function change(beats) {
  base = covering(beats);
  isShifted = false;
  draw();
}

function lines(name, times, top, bottom) {
  part(name).innerHTML = times.filter((time) => time >= 0 && time < shown.seconds).map((time) => {
    const x = ((1000 * time) / shown.seconds).toFixed(2);
    return `<line x1="${x}" x2="${x}" y1="${top}" y2="${bottom}" data-s="${time.toFixed(4)}"></line>`;
  }).join("");
}

function draw() {
  const beats = base.length ? current() : [];
  lines("beats", beats, 10, 104);
  if (!beats.length) return;
  const bpm = bpmOf(beats);
  part("tempo").value = bpm.toFixed(1);
  part("half").disabled = !isTempo(bpm / 2);
  part("double").disabled = !isTempo(bpm * 2);
  part("picture").setAttribute("aria-label", `waveform with beats at ${bpm.toFixed(0)} BPM`);
}

function drawPlayhead() {
  if (!shown || !player()) return;
  const x = (1000 * Math.min(player().currentTime / shown.seconds, 1)).toFixed(2);
  for (const [name, value] of [["x1", x], ["x2", x], ["y1", 0], ["y2", 120]]) part("playhead").setAttribute(name, value);
}

function show() {
  const before = shown;
  shown = props.value || null;
  element.querySelector(".d2m-beats").hidden = !shown;
  if (!shown) return;
  const columns = shown.high.length, x = (at) => ((1000 * (at + 0.5)) / columns).toFixed(1), y = (level) => (57 - 0.4 * level).toFixed(1);
  const upper = shown.high.map((level, at) => `${x(at)},${y(level)}`), lower = shown.low.map((level, at) => `${x(at)},${y(level)}`);
  part("wave").setAttribute("d", `M${upper.join("L")}L${lower.reverse().join("L")}Z`);
  lines("heard", shown.heard_s, 0, 9);
  lines("danced", shown.danced_s, 109, 120);
  const every = [1, 2, 5, 10, 15, 30, 60].find((step) => shown.seconds / step <= 9) || 120;
  part("axis").innerHTML = "";
  for (let time = 0; time <= shown.seconds - every / 3 || time === 0; time += every) {
    const label = document.createElement("span");
    label.textContent = time ? `${time}` : "0 s";
    label.style.left = `${(100 * time) / shown.seconds}%`;
    part("axis").append(label);
  }
  part("sentence").textContent = shown.sentence;
  part("tools").hidden = shown.beats_s === null;
  const isSame = before && before.job === shown.job;  // another take of the same job: what was corrected stays
  if (!isSame) {
    taps = [];
    base = shown.beats_s ? covering(shown.beats_s) : [];
    isShifted = false;
    hint(TAP_HINT);
  }
  draw();
  drawPlayhead();
}

function tap() {
  if (!isPlaying()) return hint("Play the video, then tap along.");
  const now = player().currentTime, since = taps.length ? now - taps[taps.length - 1] : 0;
  if (taps.length && since >= 0 && since < BOUNCE_S) return;
  if (since < 0 || since > LONGEST_PAUSE_S) taps = [];  // a jump or a pause: a new start
  taps.push(now);
  if (taps.length < FEWEST_TAPS) return hint(`${taps.length} of at least ${FEWEST_TAPS} taps …`);
  // a line through the taps against their numbers, of which some may have been left out
  const usual = median(steps(taps)), numbers = [0];
  for (const step of steps(taps)) numbers.push(numbers[numbers.length - 1] + Math.max(1, Math.round(step / usual)));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const n = mean(numbers), s = mean(taps);
  const period = mean(numbers.map((number, at) => (number - n) * (taps[at] - s))) / mean(numbers.map((number) => (number - n) ** 2));
  if (!isTempo(60 / period)) return hint(`These taps are at ${(60 / period).toFixed(0)} BPM; tap between ${LOWEST_BPM} and ${HIGHEST_BPM}.`);
  change(regular(60 / period, s - n * period));
  hint(`${taps.length} taps: ${(60 / period).toFixed(1)} BPM.`);
}

function typeTempo() {
  const bpm = Number(part("tempo").value);
  if (!isTempo(bpm)) {
    hint(`The tempo must lie between ${LOWEST_BPM} and ${HIGHEST_BPM} BPM.`);
    return draw();
  }
  const now = player() ? player().currentTime : 0;
  change(regular(bpm, current().reduce((best, time) => (Math.abs(time - now) < Math.abs(best - now) ? time : best))));
  hint("The beat nearest to the player's place was kept.");
}

// Clicks over what plays: those of the next moment are handed to WebAudio again and again.
let audio = null, clicked_s = 0;
function clickAhead() {
  if (!isPlaying() || !part("click").checked || !base.length) return;
  const now = player().currentTime, until = now + AHEAD_S;
  clicked_s = Math.max(clicked_s, now);
  for (const time of current().filter((beat) => beat >= clicked_s && beat < until)) {
    const at = audio.currentTime + (time - now) / player().playbackRate, tone = audio.createOscillator(), volume = audio.createGain();
    tone.frequency.value = 1600;
    volume.gain.setValueAtTime(0.6, at);
    volume.gain.exponentialRampToValueAtTime(0.001, at + 0.05);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.06);
  }
  clicked_s = Math.max(clicked_s, until);  // the player's time may go back a little
}
setInterval(clickAhead, 40);
for (const kind of ["play", "seeking"]) document.addEventListener(kind, () => { clicked_s = 0; }, true);

const pressed = {
  half: () => change(halved(current())),
  double: () => change(doubled(current())),
  shift: () => { isShifted = !isShifted; draw(); },
  undo: () => { taps = []; hint(TAP_HINT); change(shown.beats_s); },
  again: () => {
    const beats = current().map((time) => Number(time.toFixed(4)));
    trigger("again", { beats });
    document.querySelector("#d2m-message").scrollIntoView({ block: "nearest", behavior: "smooth" });
  },
};
for (const [name, action] of Object.entries(pressed)) part(name).addEventListener("click", action);
part("tap").addEventListener("pointerdown", tap);
part("tempo").addEventListener("change", typeTempo);
part("click").addEventListener("change", () => { audio = audio || new AudioContext(); audio.resume(); });
part("plot").addEventListener("click", (event) => {
  const box = part("plot").getBoundingClientRect();
  if (player()) player().currentTime = (shown.seconds * (event.clientX - box.left)) / box.width;
});

// The space bar taps while something plays, but not in a text field or on a button that was reached by the keyboard.
for (const kind of ["keydown", "keyup"]) {
  document.addEventListener(kind, (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const isText = target.matches("textarea, select, [contenteditable], input:not([type=checkbox]):not([type=range])");
    if (event.code !== "Space" || !shown || !base.length || !isPlaying() || isText) return;
    if (target !== part("tap") && target.matches("button:focus-visible, [role=button]:focus-visible, input:focus-visible")) return;
    event.preventDefault();
    event.stopPropagation();
    if (kind === "keydown" && !event.repeat) tap();
  }, true);
}

for (const kind of ["seeked", "timeupdate", "loadedmetadata"]) document.addEventListener(kind, drawPlayhead, true);
document.addEventListener("play", function follow() {
  drawPlayhead();
  if (isPlaying()) requestAnimationFrame(follow);
}, true);

watch("value", show);
show();
