// The camera's newest picture goes to the server when the one before was answered; sound comes back in one answer that goes on.
// Gradio runs this once with `element`. The server's part is d2m/web/live.py, which says what is sent.
const LINES = 360, QUALITY = 0.7, FADE_S = 0.006;
const part = (name) => element.querySelector(`[data-d2m=${name}]`);
const address = (name, said) => new URL(`live/${name}?${new URLSearchParams(said)}`, document.baseURI);
let going = null;  // what was started: { id, stop, node, sent_s, ring, audio }

function say(text, isBad = false) {
  part("status").textContent = text;
  part("status").classList.toggle("bad", isBad);
}

// In the audio thread: samples wait in a ring; where they run out it fades, counts, and waits until there are enough again.
const RING = `registerProcessor("d2m-ring", class extends AudioWorkletProcessor {
  constructor({ processorOptions: { channels, depth, fade } }) {
    super();
    Object.assign(this, { channels, depth, fade, ring: new Float32Array(channels * 16 * depth), first: 0, end: 0 });
    Object.assign(this, { gain: 0, isOpen: false, last: new Float32Array(channels), underruns: 0, skipped: 0, quanta: 0 });
    this.port.onmessage = ({ data }) => {
      for (const sample of data) this.ring[this.end++ % this.ring.length] = sample;
      this.first = Math.max(this.first, this.end - this.ring.length);
    };
  }
  process(_, [out]) {
    const waiting = () => (this.end - this.first) / this.channels;
    if (!this.isOpen && this.gain === 0) {
      if (waiting() > 2 * this.depth) {  // too late: what is too much is passed over while nothing sounds
        this.skipped += waiting() - this.depth;
        this.first = this.end - this.depth * this.channels;
      }
      this.isOpen = waiting() >= this.depth;
    } else if (this.isOpen && waiting() > 4 * this.depth) this.isOpen = false;
    for (let at = 0; at < out[0].length; at++) {
      if (this.isOpen && waiting() < 1) {
        this.isOpen = false;
        this.underruns++;
      }
      this.gain = Math.min(1, Math.max(0, this.gain + (this.isOpen ? 1 : -1) / this.fade));
      const isMoving = waiting() >= 1 && (this.isOpen || this.gain > 0);
      for (let channel = 0; channel < this.channels; channel++) {
        if (isMoving) this.last[channel] = this.ring[this.first++ % this.ring.length];
        out[channel][at] = this.gain * this.last[channel];
      }
    }
    if (this.quanta++ % 32 === 0) this.port.postMessage({ waiting: waiting(), underruns: this.underruns, skipped: this.skipped });
    return true;
  }
});`;

async function open({ rate, channels, depth_s }) {
  const audio = going.audio = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  const code = URL.createObjectURL(new Blob([RING], { type: "text/javascript" }));
  await audio.audioWorklet.addModule(code);
  URL.revokeObjectURL(code);
  const options = { channels, depth: Math.round(depth_s * rate), fade: FADE_S * rate };
  going.node = new AudioWorkletNode(audio, "d2m-ring", { numberOfInputs: 0, outputChannelCount: [channels], processorOptions: options });
  going.node.port.onmessage = ({ data }) => { if (going) going.ring = data; };
  going.node.connect(audio.destination);
  await audio.resume();
}

async function sendPictures() {
  const here = going, camera = part("camera"), canvas = document.createElement("canvas");
  while (going === here) {
    await new Promise((then) => camera.requestVideoFrameCallback ? camera.requestVideoFrameCallback(then) : setTimeout(then, 33));
    if (going !== here) return;
    const began_ms = performance.now();
    canvas.height = Math.min(LINES, camera.videoHeight);
    canvas.width = Math.round(canvas.height * camera.videoWidth / camera.videoHeight);
    canvas.getContext("2d").drawImage(camera, 0, 0, canvas.width, canvas.height);
    const body = await new Promise((then) => canvas.toBlob(then, "image/jpeg", QUALITY));
    try {
      await fetch(address("picture", { id: here.id }), { method: "POST", body, signal: here.stop.signal });
    } catch { return; }  // what is read at the same time says why
    here.sent_s = 0.9 * here.sent_s + 0.1 * (performance.now() - began_ms) / 1000;
  }
}

async function told(said) {
  if (said.error) throw new Error(said.error);
  if (said.id) {
    going.id = said.id;
    chooseGenre();
    sendPictures();
  }
  if (said.rate) await open(said);
  if (!said.status) return;
  const { ring, audio } = going;
  if (!ring) return say(said.status);
  const late_s = going.sent_s + said.late_s + ring.waiting / audio.sampleRate + (audio.outputLatency || audio.baseLatency || 0);
  say(`${said.status}, ${Math.round(1000 * late_s)} ms from picture to sound, ${ring.underruns} underruns`);
}

async function listen(answer) {
  const reader = answer.body.getReader();
  let bytes = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = new Uint8Array(bytes.length + value.length);
    all.set(bytes);
    all.set(value, bytes.length);
    bytes = all;
    while (bytes.length >= 5) {
      const length = new DataView(bytes.buffer, bytes.byteOffset + 1, 4).getUint32(0, true);
      if (bytes.length < 5 + length) break;
      const kind = bytes[0], content = bytes.slice(5, 5 + length);
      bytes = bytes.subarray(5 + length);
      if (kind === 116) await told(JSON.parse(new TextDecoder().decode(content)));
      else if (going.node) {
        const samples = Float32Array.from(new Int16Array(content.buffer), (sample) => sample / 32768);
        going.node.port.postMessage(samples, [samples.buffer]);
      }
    }
  }
}

async function start() {
  const here = going = { stop: new AbortController(), sent_s: 0, ring: null, node: null, audio: null };
  let stream = null;
  part("start").textContent = "Stop";
  try {
    if (!navigator.mediaDevices) throw new Error("The camera needs https, or this page on the computer that serves it.");
    say("Waiting for the camera …");
    stream = await navigator.mediaDevices.getUserMedia({ video: { height: 480, frameRate: 30 }, audio: false });
    if (going !== here) return;
    part("camera").srcObject = stream;
    stream.getVideoTracks()[0].onended = () => { if (going === here) stopWith("The camera gives no pictures any more; plug it in again."); };
    await part("camera").play();
    const answer = await fetch(address("begin", { genre: window.d2mGenre || "" }), { method: "POST", signal: here.stop.signal });
    if (!answer.ok) throw new Error(await answer.text());
    await listen(answer);
    say("The server has ended it.");
  } catch (error) {
    const isCamera = ["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError"].includes(error.name);
    if (going === here) say(isCamera ? "No camera can be used: allow it in the browser, and close other programs that use it." : error.message, true);
  } finally {
    for (const track of stream ? stream.getTracks() : []) track.stop();
    if (here.audio) here.audio.close();
    here.stop.abort();
    if (going === here) stopWith(part("status").textContent);
  }
}

function stopWith(text) {
  const isBad = part("status").classList.contains("bad");
  const here = going;
  going = null;
  here.stop.abort();
  part("camera").srcObject = null;
  part("start").textContent = "Start";
  say(text, isBad);
}

function chooseGenre() {
  if (going && going.id) fetch(address("genre", { id: going.id, genre: window.d2mGenre || "" }), { method: "POST" }).catch(() => {});
}

part("start").addEventListener("click", () => (going ? stopWith("Stopped.") : start()));
window.addEventListener("d2m-genre", chooseGenre);
window.addEventListener("pagehide", () => { if (going) stopWith("Stopped."); });
