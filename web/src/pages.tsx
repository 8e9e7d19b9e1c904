// What each page beside the conversations is called and shows; its code is fetched when it is first opened.
import type { ComponentType } from "react";
import type { WordKey } from "./i18n";
import { onDemand } from "./onDemand";
import type { Place } from "./places";
import type { ChatStore } from "./store";

interface Page {
  title: WordKey;
  Content: ComponentType<{ store: ChatStore }>;
}

export const PAGES: Record<Place, Page> = {
  learn: { title: "learn", Content: onDemand(() => import("./Learn").then((module) => module.Learn)) },
  admin: { title: "people.admin", Content: onDemand(() => import("./Admin").then((module) => module.Admin)) },
  account: { title: "people.account", Content: onDemand(() => import("./Account").then((module) => module.Account)) },
  deleted: { title: "deletedPage", Content: onDemand(() => import("./Deleted").then((module) => module.Deleted)) },
  data: { title: "yourData", Content: onDemand(() => import("./YourData").then((module) => module.YourData)) },
};
