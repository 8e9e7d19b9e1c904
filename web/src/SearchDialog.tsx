// Finding a conversation by its title or by what was said in it. The field keeps the focus; arrows choose, Enter opens.
import { useEffect, useId, useRef, useState, type KeyboardEvent } from "react";
import { asApiError, type ApiError } from "./api";
import { Dialog } from "./Dialog";
import { useLocale, useWords } from "./i18n";
import { useRefusal } from "./i18n/refusals";
import { Refusal } from "./Refusal";
import { MAX_HITS, MAX_QUERY_CHARS, search, type Hit } from "./search";

/** Typing goes on for this long before the server is asked, in milliseconds. */
const PAUSE_MS = 120;

interface SearchDialogProps {
  /** Fetches what is to be opened; refused, the dialog stays and says why. */
  onPick: (hit: Hit) => Promise<void>;
  onClose: () => void;
}

interface Found {
  query: string;
  hits: Hit[];
  refused: ApiError | null;
}

export function SearchDialog({ onPick, onClose }: SearchDialogProps) {
  const words = useWords();
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<Found>({ query: "", hits: [], refused: null });
  const [chosen, setChosen] = useState(0);
  const list = useId();
  const options = useRef<HTMLUListElement>(null);
  const { hits, refused } = found;
  const refusal = useRefusal(refused);
  const optionId = (index: number) => `${list}-${index}`;

  useEffect(() => {
    let wanted = true;
    const tell = (hits: Hit[], refused: ApiError | null) => {
      if (!wanted) return;
      setFound({ query, hits, refused });
      setChosen(0);
    };
    const asking = () => search(query).then((hits) => tell(hits, null), (error: unknown) => tell([], asApiError(error)));
    const waiting = query.trim() === "" ? void tell([], null) : setTimeout(() => void asking(), PAUSE_MS);
    return () => {
      wanted = false;
      clearTimeout(waiting ?? undefined);
    };
  }, [query]);

  useEffect(() => void options.current?.children[chosen]?.scrollIntoView({ block: "nearest" }), [chosen]);

  function pick(hit: Hit | undefined): void {
    if (hit) onPick(hit).catch((error: unknown) => setFound({ ...found, refused: asApiError(error) }));
  }

  function key(event: KeyboardEvent): void {
    if (event.nativeEvent.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && hits.length > 0) {
      event.preventDefault();
      setChosen((chosen + step + hits.length) % hits.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (found.query === query) pick(hits[chosen]);
    }
  }

  const nothing = query.trim() !== "" && found.query === query && hits.length === 0 && refused === null;
  return (
    <Dialog title={words("searchTitle")} className="search" onClose={onClose}>
      <input
        type="text"
        enterKeyHint="search"
        role="combobox"
        className="search-field"
        autoFocus
        value={query}
        maxLength={MAX_QUERY_CHARS}
        placeholder={words("searchHint")}
        aria-label={words("searchTitle")}
        aria-autocomplete="list"
        aria-expanded={hits.length > 0}
        aria-controls={list}
        aria-activedescendant={hits.length > 0 ? optionId(chosen) : undefined}
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={key}
      />
      <Refusal text={refusal} />
      <ul id={list} ref={options} role="listbox" aria-label={words("searchResults")} className="search-hits">
        {hits.map((hit, index) => (
          <li
            key={hit.message_id ?? hit.conversation_id}
            id={optionId(index)}
            role="option"
            aria-selected={index === chosen}
            onClick={() => pick(hit)}
            onPointerMove={() => setChosen(index)}
          >
            <HitView hit={hit} />
          </li>
        ))}
      </ul>
      <p className="fine" role="status">
        {query.trim() === "" && words("searchHelp")}
        {nothing && words("searchNothing")}
        {hits.length > 0 && <span className="unseen">{words("searchCount", { count: String(hits.length) })}</span>}
        {hits.length === MAX_HITS && words("searchMore", { count: String(MAX_HITS) })}
      </p>
    </Dialog>
  );
}

function HitView({ hit }: { hit: Hit }) {
  const words = useWords();
  const locale = useLocale();
  const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(new Date(hit.at));
  const text = hit.excerpt.map((piece, index) => (piece.found ? <mark key={index}>{piece.text}</mark> : piece.text));
  if (hit.role === null) {
    return (
      <span className="search-head">
        <strong>{text}</strong>
        <small>{day}</small>
      </span>
    );
  }
  return (
    <>
      <span className="search-head">
        <strong>{hit.title}</strong>
        <small>
          {words(hit.role === "user" ? "you" : "assistant")} · {day}
        </small>
      </span>
      <span className="search-excerpt">{text}</span>
    </>
  );
}
