// Says plainly that the shipped model is small, and how to bring in another.
import { useWords } from "./i18n";

export function Demonstration({ modelId }: { modelId: string }) {
  const words = useWords();
  return (
    <aside className="demonstration" aria-label={words("demonstration")}>
      <p>
        <strong>{words("demonstration")}.</strong> {words("demonstrationHelp", { model: modelId })}{" "}
        <code>bise pull {words("modelSource")}</code>
      </p>
    </aside>
  );
}
