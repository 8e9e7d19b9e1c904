"""A few of the most frequent function words of each language: prose holds at least two of them (Gopher, 2112.11446).

English has the eight words of the paper; the others follow its example. A language that is not listed is not judged
by its stop words.
"""

_LISTS = {
    "en": "the be to of and that have with",
    "bg": "на и в е от за се да с по не като",
    "bs": "je i u se na da su za od ne kao što",
    "ca": "de la i el que a en un per és amb no",
    "cs": "a se v na je to že s z do jako ale",
    "da": "og i at det er en til af den på som der",
    "de": "der die und das in ist nicht mit ein zu den auf",
    "el": "και το να του η της με για από που είναι δεν",
    "es": "de la que el en y a los se un con no",
    "et": "ja on ei et see oli ta ka kui mis oma aga",
    "fi": "ja on ei että se oli mutta hän joka niin kun myös",
    "fr": "de la le et les des un une est que dans en",
    "ga": "an agus na a ar is i go sé le ag bhí",
    "hr": "je i u se na da su za od ne kao što",
    "hu": "a az és hogy nem is egy volt de meg el ez",
    "is": "og að í á er það sem ekki við um hann var",
    "it": "di e che la il un è per non in con una",
    "lt": "ir į kad su iš yra o kaip ne jis buvo tai",
    "lv": "un ir ar ka no uz par kas tas bet viņš nav",
    "mt": "il ta li ma u hu dan kien minn fuq biex",
    "nb": "og i det er på en som til av for at ikke",
    "nl": "de het een en van is dat niet in op te met",
    "nn": "og i det er på ein som til av for at ikkje",
    "no": "og i det er på en som til av for at ikke",
    "pl": "i w na z się nie do to że jest jak po",
    "pt": "de que a o e do da em um não com uma",
    "ro": "de și în a la cu nu pe o este că din",
    "sk": "a sa v na je to že s z do ako ale",
    "sl": "je in v se na da so za ne ki tudi s",
    "sq": "e të në dhe për një me nga që është ka si",
    "sr": "је и у се на да су за од не као што je i u se na da su za od ne kao što",
    "sv": "och i att det är en som på av för inte med",
    "tr": "ve bir bu da de için ile çok ne var gibi daha",
    "uk": "і в на що не та з у до це як але",
    "ru": "и в не на что с он как по это но я",
}
STOP_WORDS: dict[str, tuple[str, ...]] = {lang: tuple(dict.fromkeys(words.split())) for lang, words in _LISTS.items()}
