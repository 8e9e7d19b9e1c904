// Writes src/server.ts, the types of what the server tells the page, from its OpenAPI document (server.json).
import { readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const { components } = JSON.parse(await readFile(new URL("server.json", import.meta.url), "utf8"), (key, value) => {
  if (key === "$ref") return value.replace("#/components/schemas/", "#/$defs/");
  if (value?.prefixItems) return { ...value, items: value.prefixItems }; // as older schemas write tuples
  return value;
});
const options = { bannerComment: "// Made by types.mjs from server.json.", unreachableDefinitions: true, additionalProperties: false, format: false };
const types = await compile({ title: "Server", type: "object", $defs: components.schemas }, "Server", options);
await writeFile(new URL("src/server.ts", import.meta.url), types);
