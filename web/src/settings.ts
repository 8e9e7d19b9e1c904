// How a chat asks, when it does not ask as by default.
import type { Settings } from "./api";

export const AS_EVER: Settings = { system_prompt: null, parameters: {}, keeps_probabilities: false };

export const isOwn = ({ system_prompt, parameters, keeps_probabilities }: Settings): boolean =>
  Boolean(system_prompt) || Object.keys(parameters).length > 0 || keeps_probabilities;
