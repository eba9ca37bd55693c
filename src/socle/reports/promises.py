"""What is promised, and which check of the audit proves it: the French of the report, all in one place.

What a service's own audit checks is in `stacks/<service>/promises.yml`, in the same terms: adding a service edits
nothing here. A check that is in neither is not lost: it is shown among « Autres vérifications ».
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from socle.load.yaml_source import load_model
from socle.model.base import Model

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


Key = Literal[
    "answers",
    "certificates",
    "isolation",
    "backups",
    "restores",
    "updates",
    "closed",
    "limits",
    "declared",
    "watch",
    "keys",
    "erasure",
]
"""The promises, by name."""


class Check(Model):
    """What a check of the audit says in French, each a sentence without its full stop."""

    promise: Key
    passed: str = Field(min_length=1)
    failed: str = Field(min_length=1)
    ask: str = Field(min_length=1)
    """What is to do when it failed."""
    who: str = SYSADMINS
    """Who does it."""
    why: str = ""
    """Why it may be left out, for a check on the committed list of those that cannot be made everywhere."""


class Checks(Model):
    """stacks/<service>/promises.yml."""

    checks: dict[str, Check] = Field(min_length=1)


PROMISES = (
    Promise(
        "answers",
        "Les sites répondent",
        "Chaque site répond à ses visiteurs, à son adresse.",
        "La page d’accueil de chaque site est demandée de l’extérieur et lue, comme le ferait un visiteur.",
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
        "Depuis l’intérieur de chaque site, on essaie d’atteindre ce qui est aux autres : tout doit être refusé.",
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
        "Les limites sont relues là où elles s’imposent, et la place qui reste est mesurée.",
    ),
    Promise(
        "declared",
        "Ce qui est en service est ce qui a été décidé",
        "Tout ce qui existe vient d’une demande ou d’une déclaration écrite ; ce qui s’en écarte est trouvé.",
        "L’état réel des serveurs est comparé à ce que disent les demandes et les déclarations.",
    ),
    Promise(
        "watch",
        "Les serveurs sont surveillés",
        "Chaque serveur est à l’heure, garde la trace de ce qui s’y passe, et donne ses mesures.",
        "L’heure, les traces et les mesures de chaque serveur sont relues.",
    ),
    Promise(
        "keys",
        "Les clés ne se perdent pas",
        "Les mots de passe sont conservés chiffrés, et une clé de secours, gardée au coffre, peut les relire.",
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

CHECKS: dict[str, Check] = {
    "page": Check(
        promise="answers",
        passed="Chaque site répond à un visiteur",
        failed="Un site ne répond pas comme il le devrait",
        ask="Chercher ce qui ne répond pas, et rétablir le site",
    ),
    "redirects": Check(
        promise="answers",
        passed="Les autres adresses d’un site mènent à son adresse principale",
        failed="Une autre adresse d’un site n’y mène pas",
        ask="Rétablir la redirection",
    ),
    "dns": Check(
        promise="answers",
        passed="Chaque adresse mène à nos serveurs",
        failed="Une adresse ne mène pas à nos serveurs",
        ask="Corriger l’adresse dans l’annuaire des noms (DNS), ou le demander à qui la détient",
        who=f"{SYSADMINS}, ou l’association si elle détient l’adresse",
    ),
    "running": Check(
        promise="answers",
        passed="Les programmes nécessaires fonctionnent",
        failed="Un programme nécessaire ne fonctionne pas",
        ask="Chercher pourquoi il s’est arrêté, et le remettre en marche",
    ),
    "failed-units": Check(
        promise="answers",
        passed="Aucun programme n’est en panne",
        failed="Un programme est en panne",
        ask="Chercher la cause de la panne, et y remédier",
    ),
    "certificate": Check(
        promise="certificates",
        passed="Le certificat de chaque adresse est valable et vient d’une autorité reconnue",
        failed="Le certificat d’une adresse ne convainc pas un visiteur",
        ask="Chercher pourquoi il n’est pas renouvelé, et y remédier avant sa fin",
    ),
    "isolation": Check(
        promise="isolation",
        passed="Depuis l’intérieur d’un site, rien de ce qui est aux autres ne peut être atteint",
        failed="Depuis l’intérieur d’un site, quelque chose qui est aux autres a pu être atteint",
        ask="Arrêter ce site jusqu’à ce que la cause soit connue, puis fermer l’accès",
    ),
    "unknown-name": Check(
        promise="isolation",
        passed="Une adresse inconnue ne mène au site de personne",
        failed="Une adresse inconnue mène au site d’une association",
        ask="Rétablir le refus des adresses inconnues",
    ),
    "backup": Check(
        promise="backups",
        passed="La dernière sauvegarde de chaque site est complète",
        failed="La dernière sauvegarde d’un site n’est pas complète",
        ask="Lire le motif, y remédier, puis relancer la sauvegarde",
        why="cette version ne fait pas encore de sauvegardes",
    ),
    "updates": Check(
        promise="updates",
        passed="Aucune correction de sécurité ne manque",
        failed="Une correction de sécurité manque",
        ask="Installer les corrections, et chercher pourquoi elles ne l’ont pas été d’elles-mêmes",
        why="sans listes récentes des logiciels, personne ne sait quelles corrections manquent",
    ),
    "update-runs": Check(
        promise="updates",
        passed="Les corrections s’installent d’elles-mêmes",
        failed="Les corrections ne s’installent plus d’elles-mêmes",
        ask="Remettre en marche l’installation automatique",
    ),
    "reboot": Check(
        promise="updates",
        passed="Aucun redémarrage n’est attendu pour qu’une correction prenne effet",
        failed="Un serveur doit être redémarré pour qu’une correction prenne effet",
        ask="Redémarrer le serveur à une heure calme",
    ),
    "accounts": Check(
        promise="closed",
        passed="Les seuls comptes qui existent sont ceux qui sont déclarés",
        failed="Un compte existe sans être déclaré",
        ask="Regarder ce que ce compte a fait, puis le supprimer",
    ),
    "keys": Check(
        promise="closed",
        passed="Seules les clés déclarées ouvrent les serveurs",
        failed="Une clé ouvre un serveur sans être déclarée",
        ask="Retirer la clé, et chercher qui l’a ajoutée",
    ),
    "sshd": Check(
        promise="closed",
        passed="L’accès à distance est réglé comme il le doit",
        failed="L’accès à distance n’est pas réglé comme il le doit",
        ask="Rétablir le réglage, et chercher qui l’a changé",
    ),
    "ports": Check(
        promise="closed",
        passed="Aucun programme n’attend de connexion sans être déclaré",
        failed="Un programme attend des connexions sans être déclaré",
        ask="Arrêter ce programme, et chercher d’où il vient",
    ),
    "ports-outside": Check(
        promise="closed",
        passed="De l’extérieur, on n’atteint que ce qui est ouvert à tous",
        failed="De l’extérieur, on atteint ce qui ne devrait pas l’être",
        ask="Fermer l’accès",
    ),
    "firewall": Check(
        promise="closed",
        passed="Le filtre du réseau est celui qui est déclaré",
        failed="Le filtre du réseau n’est pas celui qui est déclaré",
        ask="Rétablir le filtre, et chercher qui l’a changé",
    ),
    "mounted": Check(
        promise="limits",
        passed="L’espace de chaque site est à sa place",
        failed="L’espace d’un site n’est pas à sa place",
        ask="Remettre l’espace à sa place",
    ),
    "pool": Check(
        promise="limits",
        passed="La place de chacun est comptée, et les limites s’imposent",
        failed="La place de chacun n’est plus comptée : aucune limite ne s’impose",
        ask="Faire recompter la place",
        why="cela se vérifie sur la machine qui porte les disques",
    ),
    "quota": Check(
        promise="limits",
        passed="La place accordée à chacun ne peut pas être dépassée",
        failed="La place accordée peut être dépassée",
        ask="Rétablir la limite",
        why="le noyau qui impose les limites est celui d’une autre machine, où cela se vérifie",
    ),
    "space": Check(
        promise="limits",
        passed="Il reste de la place dans l’espace de chaque site",
        failed="L’espace d’un site est presque plein",
        ask="Accorder plus de place, ou aider l’association à retirer ce qui ne sert plus",
        who=f"{REQUESTS}, avec l’association",
    ),
    "disk": Check(
        promise="limits",
        passed="Il reste de la place sur le disque de chaque serveur",
        failed="Le disque d’un serveur est presque plein",
        ask="Retirer ce qui ne sert plus, ou agrandir le disque",
    ),
    "drift": Check(
        promise="declared",
        passed="Rien ne s’écarte de ce qui est déclaré",
        failed="Quelque chose s’écarte de ce qui est déclaré",
        ask="Lire l’écart, puis le corriger ou le déclarer",
    ),
    "overrides": Check(
        promise="declared",
        passed="Aucun réglage n’a été ajouté à la main",
        failed="Un réglage a été ajouté à la main",
        ask="Lire ce réglage, puis le retirer ou le déclarer",
    ),
    "files": Check(
        promise="declared",
        passed="Les fichiers de réglage sont ceux qui ont été installés",
        failed="Un fichier de réglage a été modifié",
        ask="Rétablir le fichier, et chercher qui l’a modifié",
    ),
    "packages": Check(
        promise="declared",
        passed="Les logiciels installés sont intacts",
        failed="Un logiciel installé a été modifié",
        ask="Réinstaller ce logiciel, et chercher qui l’a modifié",
    ),
    "installed": Check(
        promise="declared",
        passed="Les logiciels déclarés sont installés",
        failed="Un logiciel déclaré n’est pas installé",
        ask="L’installer",
    ),
    "clock": Check(
        promise="watch",
        passed="Chaque serveur est à l’heure",
        failed="Un serveur n’est pas à l’heure",
        ask="Remettre le serveur à l’heure",
        why="un serveur d’essai partage l’heure de la machine qui le porte, qui est vérifiée par ailleurs",
    ),
    "journal": Check(
        promise="watch",
        passed="Chaque serveur garde la trace de ce qui s’y passe",
        failed="Un serveur ne garde plus la trace de ce qui s’y passe",
        ask="Rétablir l’enregistrement",
    ),
    "metrics": Check(
        promise="watch",
        passed="Chaque serveur donne ses mesures à la surveillance",
        failed="Un serveur ne donne plus ses mesures à la surveillance",
        ask="Rétablir les mesures",
    ),
    "secrets": Check(
        promise="keys",
        passed="Les secrets ne sont lisibles que par qui doit les lire",
        failed="Un secret est lisible par d’autres",
        ask="Fermer l’accès, et changer le secret",
    ),
    "escrow": Check(
        promise="keys",
        passed="Une clé de secours peut relire les secrets",
        failed="Aucune clé de secours ne peut relire les secrets",
        ask="Faire une clé de secours, et la mettre au coffre",
        why="une plateforme d’essai n’a pas de coffre",
    ),
    "schedule": Check(
        promise="watch",
        passed="Ce qui doit se faire à heure fixe a été fait",
        failed="Quelque chose qui doit se faire à heure fixe n’a pas été fait",
        ask="Chercher pourquoi, puis le faire",
        why="une plateforme d’essai n’a rien à faire à heure fixe",
    ),
    "orphans": Check(
        promise="erasure",
        passed="Aucun site arrêté n’attend de décision",
        failed="Les données d’un site arrêté attendent une décision",
        ask="Décider de ce que deviennent ces données : remettre le site en service, ou le retirer",
        who=OFFICIALS,
    ),
}
"""By the kind of a check: the part of its name before the colon."""


def load_checks(stacks: Path) -> Mapping[str, Check]:
    """The French of all checks: those of every platform, and those of the services under `stacks`.

    Raises InvalidInput.
    """
    found = dict(CHECKS)
    for path in sorted(stacks.glob("*/promises.yml")):
        found |= load_model(Checks, path, f"stacks/{path.parent.name}/promises.yml").checks
    return found


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
    (
        "DNS (annuaire des noms)",
        "Ce qui dit, pour chaque adresse, à quel serveur elle mène. Qui détient une adresse en règle l’annuaire.",
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
