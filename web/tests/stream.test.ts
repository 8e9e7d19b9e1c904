import { describe, expect, it } from "vitest";
import { eventParser, type ServerEvent } from "../src/stream";

const STREAM =
  ": heartbeat\n\n" +
  'id: 7\nevent: delta\ndata: {"text":"Grüße: a\\n"}\n\n' +
  "id: 8\r\nevent: done\r\ndata: one\r\ndata: two\r\n\r\n" +
  "data:without space\n\n";

const EVENTS: ServerEvent[] = [
  { id: 7, event: "delta", data: '{"text":"Grüße: a\\n"}' },
  { id: 8, event: "done", data: "one\ntwo" },
  { id: null, event: "message", data: "without space" },
];

describe("eventParser", () => {
  it("reads the same events however the stream is cut", () => {
    for (let size = 1; size <= STREAM.length; size++) {
      const parse = eventParser();
      const events: ServerEvent[] = [];
      for (let at = 0; at < STREAM.length; at += size) events.push(...parse(STREAM.slice(at, at + size)));
      expect(events).toEqual(EVENTS);
    }
  });

  it("tells nothing of an event that has not ended", () => {
    expect(eventParser()("id: 1\nevent: delta\ndata: x\n")).toEqual([]);
  });
});
