"""What is promised, and which check of the audit proves it: the French of the report, all in one place.

A check that is not here is not lost: it is shown among « Autres vérifications », and a test says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

SYSADMINS = "les administrateurs des systèmes"
REQUESTS = "le service qui suit les demandes"
OFFICIALS = "les élus, avec le service qui suit les demandes"

AUDIT_FRESH = timedelta(hours=48)
"""An audit is made every day: beyond two, its proofs are old."""
BACKUPS_FRESH = timedelta(hours=36)
"""Verdicts are read every day, after the night's backups."""
RESTORE_FRESH = timedelta(days=92)
"""A restore is tried every quarter."""
KEPT_FRESH = timedelta(days=3650)
"""What is true from then on: an erasure that was seen once needs no second one."""


@dataclass(frozen=True)
class Promise:
    """One promise to associations and officials: what is promised, and how it is proven."""

    key: str
    title: str
    sentence: str
    how: str


@dataclass(frozen=True)
class Check:
    """What a check of the audit says in French: when it passed, when it failed, what is then to do and by whom."""

    promise: str
    passed: str
    failed: str
    ask: str
    who: str = SYSADMINS


PROMISES = (
    Promise(
        "answers",
        "Les sites répondent",
        "Chaque site répond à ses visiteurs, à son adresse, et ce qui y est publié peut être relu.",
        "Une page est demandée depuis l’extérieur, comme le ferait un visiteur ; une page d’essai est publiée, "
        "relue, puis retirée.",
    ),
    Promise(
        "certificates",
        "Les échanges sont chiffrés",
        "Chaque adresse est protégée par un certificat valable, renouvelé avant sa fin.",
        "Une connexion est ouverte vers chaque adresse, et le certificat présenté est vérifié.",
    ),
    Promise(
        "isolation",
        "Chaque association est chez elle",
        "Aucun site ne peut lire, modifier ou arrêter celui d’une autre association, même s’il est piraté.",
        "Depuis l’intérieur de chaque site, on essaie d’atteindre ce qui appartient aux autres : tout doit être refusé.",
    ),
    Promise(
        "backups",
        "Chaque site est sauvegardé",
        "Chaque nuit, chaque site est sauvegardé sur une autre machine, où lui-même ne peut rien effacer.",
        "Une sauvegarde ne compte que si elle a été relue sur le serveur de sauvegardes : ni manquante, ni "
        "incomplète, ni trop ancienne.",
    ),
    Promise(
        "restores",
        "Les sauvegardes sont restaurables",
        "Une sauvegarde peut être remise en service, et son contenu est alors comparé à ce qui avait été sauvegardé.",
        "Un site est remis en service à partir de sa sauvegarde, à l’écart, et son contenu est comparé.",
    ),
    Promise(
        "updates",
        "Les corrections de sécurité sont installées",
        "Les corrections de sécurité des logiciels sont installées sans attendre.",
        "Chaque serveur dit quelles corrections lui manquent encore.",
    ),
    Promise(
        "closed",
        "Les serveurs sont fermés",
        "Rien n’est ouvert sur le réseau en dehors de ce qui est déclaré, et seuls les administrateurs entrent dans "
        "les serveurs.",
        "Les portes de chaque serveur sont essayées de l’extérieur et de l’intérieur, et ses réglages sont relus.",
    ),
    Promise(
        "limits",
        "Chacun a sa place, sans prendre celle des autres",
        "Chaque site dispose de la place qui lui a été accordée, et ne peut pas prendre celle des autres.",
        "Les limites sont relues là où elles s’appliquent, et par leur effet.",
    ),
    Promise(
        "declared",
        "Ce qui est en service est ce qui a été décidé",
        "Tout ce qui existe vient d’une demande ou d’une déclaration écrite ; ce qui s’en écarte est trouvé.",
        "L’état réel des serveurs est comparé à ce que disent les demandes et les déclarations.",
    ),
    Promise(
        "watch",
        "Ce qui doit se faire chaque jour se fait",
        "Les contrôles et les sauvegardes se font à l’heure, sans qu’il faille y penser ; un oubli est signalé.",
        "Les exécutions prévues sont comparées à celles qui ont eu lieu.",
    ),
    Promise(
        "keys",
        "Les clés ne se perdent pas",
        "Les mots de passe et les clés sont conservés chiffrés, et une clé de secours gardée au coffre peut les relire.",
        "La liste des clés qui peuvent relire les secrets est consultée.",
    ),
    Promise(
        "erasure",
        "Les données sont effacées quand il le faut, jamais par accident",
        "À la fin d’une convention, les données sont rendues puis effacées, sur décision ; sans décision, rien n’est "
        "effacé.",
        "Le journal dit quand un site a été retiré ; les sites arrêtés dont les données attendent sont comptés.",
    ),
)
OTHER = Promise(
    "other",
    "Autres vérifications",
    "Ces vérifications ont été faites, mais ne sont rattachées à aucune des promesses ci-dessus.",
    "Chacune est décrite, en anglais, dans l’annexe technique.",
)

CHECKS: dict[str, Check] = {}
"""By the kind of a check: the part of its name before the colon."""

GLOSSARY = (
    (
        "Audit",
        "Vérification, faite par des programmes, que ce qui est promis est vrai au moment où on le regarde.",
    ),
    (
        "Certificat",
        "Document électronique qui prouve qu’une adresse est bien celle du site, et qui permet de chiffrer les "
        "échanges avec lui (le cadenas du navigateur).",
    ),
    ("Chiffré", "Rendu illisible pour qui n’a pas la clé."),
    (
        "Clé de secours",
        "Clé gardée au coffre, hors des serveurs. Elle permet de relire les secrets et les sauvegardes si tout le "
        "reste est perdu.",
    ),
    ("Convention", "Accord, validé par les élus, entre le syndicat et une association : durée, préavis, délais."),
    (
        "Demande",
        "Fichier public qui dit ce qu’une association demande. Elle est acceptée, ou non, par une personne.",
    ),
    ("Empreinte", "Suite de signes calculée à partir d’un fichier. Si le fichier change, elle change aussi."),
    ("Gio, Mio", "Gibioctet, mébioctet : unités de place. 1 Gio vaut 1 024 Mio, soit environ 1,07 milliard d’octets."),
    ("Journal", "Registre de ce qui a été changé : quand, par qui, et comment cela s’est terminé."),
    ("Place accordée (quota)", "Place que les fichiers et la base de données d’un site peuvent occuper ensemble."),
    (
        "Restauration",
        "Remise en service d’un site à partir d’une sauvegarde.",
    ),
    (
        "Sauvegarde",
        "Copie des fichiers et de la base de données d’un site, conservée chiffrée sur une autre machine : le "
        "serveur de sauvegardes.",
    ),
    ("Serveur", "Machine qui fait fonctionner les sites, ou qui garde leurs sauvegardes."),
    ("Site", "Un service en ligne fourni à une association, avec son adresse."),
    (
        "Site arrêté (orphelin)",
        "Site dont la demande a disparu. Il ne répond plus ; ses données sont conservées jusqu’à une décision.",
    ),
)


CHECKS.update(isolation=Check("isolation", "Aucun site n’atteint ce qui appartient aux autres", "Un site atteint ce qui appartient à un autre", "Fermer l’accès, puis refaire l’audit"),
 page=Check("answers","Chaque site répond","Un site ne répond pas","Rétablir le site"))
