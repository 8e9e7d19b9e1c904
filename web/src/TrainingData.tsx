// What of an answer stands word for word in the data that its model was trained on, with source, licence and passage.
import { useId } from "react";
import type { Message } from "./api";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import { traceAnswer, type Found, type Place, type Span } from "./provenance";
import { useAnswered } from "./useAnswered";

const NOT_LOOKED_UP: Record<Exclude<Found["known"], "here">, PageWordKey> = {
  not_here: "trainingNotHere",
  unknown: "trainingUnknown",
  elsewhere: "trainingElsewhere",
};

export function TrainingData({ message, id }: { message: Message; id: string }) {
  const words = usePageWords();
  const heading = useId();
  const [found, trouble] = useAnswered(() => traceAnswer(message.id), message.id);
  const values = { model: message.model ?? "", corpora: found?.corpora.join(", ") ?? "" };
  return (
    <section className="found" id={id} aria-labelledby={heading}>
      <h3 id={heading}>{words("training")}</h3>
      <div role="status">
        {trouble !== null && <p className="refusal">{trouble}</p>}
        {found === null && trouble === null && <p className="fine">{words("trainingLooking")}</p>}
        {found && found.known !== "here" && <p>{words(NOT_LOOKED_UP[found.known], values)}</p>}
        {found?.known === "here" && found.spans.length === 0 && <p>{words("trainingNothing", values)}</p>}
      </div>
      {found?.known === "here" && found.spans.length > 0 && <Spans found={found} corpora={values.corpora} base={id} />}
      {found?.known === "here" && <p className="fine">{words("trainingNote")}</p>}
    </section>
  );
}

function Spans({ found, corpora, base }: { found: Extract<Found, { known: "here" }>; corpora: string; base: string }) {
  const words = usePageWords();
  const share = new Intl.NumberFormat(useLocale(), { style: "percent", maximumFractionDigits: 0 }).format(found.share);
  return (
    <>
      <p>{words("trainingShare", { share, corpora })}</p>
      <p className="found-text">
        {found.pieces.map(({ text, span }, index) =>
          span === null ? (
            text
          ) : (
            <mark key={index}>
              {text} <a href={`#${base}-${span}`} onClick={(event) => go(event, `${base}-${span}`)}>{span + 1}</a>
            </mark>
          ),
        )}
      </p>
      <ol>
        {found.spans.map((span, index) => (
          <li key={index} id={`${base}-${index}`} tabIndex={-1}>
            <SpanView span={span} />
          </li>
        ))}
      </ol>
    </>
  );
}

/** The address of the page names conversations, so links within an answer must not change it. */
function go(event: React.MouseEvent, id: string): void {
  event.preventDefault();
  document.getElementById(id)?.focus();
}

function SpanView({ span }: { span: Span }) {
  const words = usePageWords();
  const number = new Intl.NumberFormat(useLocale());
  return (
    <>
      <p className="fine">{words("trainingTimes", { words: number.format(span.num_words), count: number.format(span.occurrences) })}</p>
      {span.places.map((place, index) => (
        <PlaceView key={index} place={place} />
      ))}
    </>
  );
}

function PlaceView({ place }: { place: Place }) {
  return (
    <figure className="place">
      <blockquote lang={place.lang || undefined}>
        {place.before}
        <mark>{place.words}</mark>
        {place.after}
      </blockquote>
      <figcaption className="fine">
        <strong>{place.title || place.document}</strong>, {place.source} · {place.licence}
      </figcaption>
    </figure>
  );
}
